"""Downloads that are killed at any moment: what was written is kept, and the result is exact."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nim.models.remote.cache_directories import directory_of
from tests.fakes.launch import wait_until
from tests.sources.conftest import make_model
from tests.sources.file_server import FileServer, serving_files

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "nim", "fetch", "--model-uri")
END_SECONDS = 120


def begin(uri: str, cache: Path) -> subprocess.Popen[str]:
    """Return a started `nim fetch` with this cache."""
    environ = {**os.environ, "NIM_CACHE_PATH": str(cache)}
    return subprocess.Popen([*COMMAND, uri], env=environ, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def kill_during(uri: str, cache: Path, server: FileServer, seconds: float) -> None:
    """Begin a fetch, and kill it so many seconds after its first bytes."""
    before = server.sent_bytes
    process = begin(uri, cache)
    wait_until(lambda: server.sent_bytes > before or process.poll() is not None, "the first bytes")
    time.sleep(seconds)  # the moment is what is random here
    assert process.poll() is None, process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=END_SECONDS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_kills_and_less_than_two_percent_twice(tmp_path: Path) -> None:
    size, kills = 300_000_000, 50
    origin = make_model(tmp_path / "files" / "model", size)
    rng = random.Random(15)
    cache = tmp_path / "cache"
    with serving_files(tmp_path / "files", bytes_per_second=size / (kills * 0.5)) as server:
        uri = f"{server.url}/model"
        for _ in range(kills):
            kill_during(uri, cache, server, rng.uniform(0, 0.8))
        server.faults.bytes_per_second = None
        last = begin(uri, cache)
        assert last.wait(END_SECONDS) == 0, last.communicate()[1]
        last.communicate()
    current = directory_of(cache, uri) / "current"
    total = 0
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        assert (current / name).read_bytes() == (origin / name).read_bytes(), name
        total += (origin / name).stat().st_size
    twice = server.sent_bytes - total
    print(f"{kills} kills, {total} bytes, {twice} sent twice: {twice / total:.2%}")
    assert 0 <= twice < total * 0.02


def test_one_kill_and_the_rest_is_fetched(tmp_path: Path) -> None:
    origin = make_model(tmp_path / "files" / "model", 20_000_000)
    cache = tmp_path / "cache"
    with serving_files(tmp_path / "files", bytes_per_second=10_000_000) as server:
        uri = f"{server.url}/model"
        kill_during(uri, cache, server, 0.5)
        assert not (directory_of(cache, uri) / "current").exists()
        server.faults.bytes_per_second = None
        last = begin(uri, cache)
        assert last.wait(END_SECONDS) == 0, last.communicate()[1]
        said = last.communicate()[1]
    assert "of them are here" in said
    current = directory_of(cache, uri) / "current"
    assert (current / "model.safetensors").read_bytes() == (origin / "model.safetensors").read_bytes()
    assert server.sent_bytes < 20_000_000 * 1.05


def test_two_processes_make_one_download(tmp_path: Path) -> None:
    make_model(tmp_path / "files" / "model", 10_000_000)
    cache = tmp_path / "cache"
    with serving_files(tmp_path / "files", bytes_per_second=5_000_000) as server:
        uri = f"{server.url}/model"
        both = [begin(uri, cache) for _ in range(2)]
        said = [process.communicate(timeout=END_SECONDS)[1] for process in both]
        assert [process.returncode for process in both] == [0, 0], said
    assert sum("fetches it into the same cache: waiting for that" in one for one in said) == 1
    assert server.sent_bytes == sum(
        path.stat().st_size for path in (directory_of(cache, uri) / "current").iterdir()
    )


def test_a_lock_does_not_outlive_a_killed_holder(tmp_path: Path) -> None:
    make_model(tmp_path / "files" / "model", 10_000_000)
    cache = tmp_path / "cache"
    with serving_files(tmp_path / "files", bytes_per_second=5_000_000) as server:
        uri = f"{server.url}/model"
        first = begin(uri, cache)
        wait_until(lambda: server.sent_bytes > 1_000_000, "the first bytes")
        second = begin(uri, cache)
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=END_SECONDS)
        assert second.wait(END_SECONDS) == 0
        second.communicate()
    assert server.sent_bytes < 10_000_000 * 1.1


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace without network needs root")
def test_what_is_complete_is_found_without_any_network(tmp_path: Path) -> None:
    make_model(tmp_path / "files" / "model")
    cache = tmp_path / "cache"
    with serving_files(tmp_path / "files") as server:
        uri = f"{server.url}/model"
        first = begin(uri, cache)
        assert first.communicate(timeout=END_SECONDS)
        assert first.returncode == 0
    environ = {**os.environ, "NIM_CACHE_PATH": str(cache), "NIM_SOURCE_TOKEN": "a-key-that-is-set"}
    done = subprocess.run(
        ["unshare", "--net", *COMMAND, uri],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=END_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "fetched 0.0 MB" in done.stdout
