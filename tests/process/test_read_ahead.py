"""Weights are read into the page cache beside the engine, and this ends with the engine's loading."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nim.plan import READ_AHEAD_FILE, ReadAhead
from nim.supervision.read_ahead_process import CHUNK_BYTES, chunks_of, is_cached
from tests.fakes.launch import wait_until
from tests.process.conftest import Start
from tests.process.plans import make_plan

SIZE = 3 * CHUNK_BYTES + 4097
READER = "nim.supervision.read_ahead_process"


@pytest.fixture
def weights(tmp_path: Path) -> tuple[str, ...]:
    """Two files whose pages are not in the page cache."""
    directory = tmp_path / "weights"
    directory.mkdir()
    files = tuple(str(directory / f"model-0000{number}-of-00002.safetensors") for number in (1, 2))
    for file in files:
        Path(file).write_bytes(os.urandom(SIZE))
        drop(file)
    return files


def drop(file: str) -> None:
    """Remove the file's pages from the page cache; skip the test where the file system keeps them."""
    fd = os.open(file, os.O_RDONLY)
    try:
        os.fsync(fd)
        for _ in range(100):  # pages that are being written are kept
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            if is_cached(fd, 0) is False:
                return
            time.sleep(0.05)
        pytest.skip("this file system keeps its pages, or does not tell")
    finally:
        os.close(fd)


def cached_share(file: str) -> float:
    """Return which share of the file's first 4 MiB blocks is in the page cache."""
    fd = os.open(file, os.O_RDONLY)
    try:
        offsets = range(0, os.fstat(fd).st_size, 4 * 1024 * 1024)
        return sum(bool(is_cached(fd, offset)) for offset in offsets) / len(offsets)
    finally:
        os.close(fd)


def read_by_itself(directory: Path, read_ahead: ReadAhead) -> dict[str, float]:
    """Run the reading process as supervisord does, and return its result."""
    plan = replace(make_plan(directory), read_ahead=read_ahead)
    run_dir = Path(plan.run_dir)
    run_dir.mkdir(exist_ok=True)
    (run_dir / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    subprocess.run([sys.executable, "-I", "-m", READER, str(run_dir)], check=True, timeout=120)
    result: dict[str, float] = json.loads((run_dir / READ_AHEAD_FILE).read_text(encoding="utf-8"))
    return result


def test_all_is_read_once(tmp_path: Path, weights: tuple[str, ...]) -> None:
    first = read_by_itself(tmp_path, ReadAhead(files=weights, limit_bytes=2 * SIZE))
    assert first["read_bytes"] + first["cached_bytes"] == 2 * SIZE
    assert first["read_bytes"] > 0
    assert [cached_share(file) for file in weights] == [1, 1]
    again = read_by_itself(tmp_path, ReadAhead(files=weights, limit_bytes=2 * SIZE))
    assert (again["read_bytes"], again["cached_bytes"]) == (0, 2 * SIZE)


def test_no_more_than_the_limit_is_read(tmp_path: Path, weights: tuple[str, ...]) -> None:
    result = read_by_itself(tmp_path, ReadAhead(files=weights, limit_bytes=CHUNK_BYTES + 5))
    assert result["read_bytes"] + result["cached_bytes"] == CHUNK_BYTES + 5
    assert cached_share(weights[1]) < 0.5  # the kernel reads a little further by itself


def test_files_that_are_gone_are_left_to_the_engine(tmp_path: Path, weights: tuple[str, ...]) -> None:
    Path(weights[0]).unlink()
    result = read_by_itself(tmp_path, ReadAhead(files=weights, limit_bytes=2 * SIZE))
    assert result["read_bytes"] + result["cached_bytes"] == SIZE


def test_chunks_are_in_the_order_of_the_files(weights: tuple[str, ...]) -> None:
    chunks = list(chunks_of(weights, SIZE + 1))
    assert [path for path, _, _ in chunks] == [weights[0]] * 4 + [weights[1]]
    assert sum(size for _, _, size in chunks) == SIZE + 1
    assert chunks[-1] == (weights[1], 0, 1)


@pytest.mark.slow
def test_the_ready_line_says_what_was_read(tmp_path: Path, start: Start, weights: tuple[str, ...]) -> None:
    plan = replace(make_plan(tmp_path), read_ahead=ReadAhead(files=weights, limit_bytes=2 * SIZE))
    mood = {"phases": {"start": 8.0, "load": 1.0}}  # the reader has to start, too
    env = {**plan.engine.env, "FAKE_ENGINE": json.dumps(mood)}
    plan = replace(plan, engine=replace(plan.engine, env=env))
    service = start(plan=plan).wait_ready()
    wait_until(lambda: "ready after" in service.text, "the log line")
    (line,) = [line for line in service.lines if "ready after" in line]
    assert "weights read ahead: " in line
    assert not service.find(READER)
    assert service.stop() == 0


@pytest.mark.slow
def test_a_reader_that_is_killed_changes_nothing(
    tmp_path: Path, start: Start, weights: tuple[str, ...]
) -> None:
    plan = make_plan(tmp_path, phases={"start": 2.0})
    service = start(plan=replace(plan, read_ahead=ReadAhead(files=weights, limit_bytes=2 * SIZE))).wait_live()
    for pid in service.find(READER):
        os.kill(pid, signal.SIGKILL)
    assert service.wait_ready().stop() == 0
