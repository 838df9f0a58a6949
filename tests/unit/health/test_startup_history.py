"""The file of earlier starts: concurrent writers and damage do no harm."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nim.health.startup_history import FILE, KEPT_KINDS, KEPT_RUNS, LOCK, Run, key_of, recall, remember
from nim.service_state import Phase
from nim.value_origins import Layer, Origin, Value
from tests.process.plans import make_plan


def run(at: float = 1.0, load: float = 20.0) -> Run:
    return Run(at=at, seconds={Phase.SELECT: 0.1, Phase.LOAD: load}, download_seconds=2.5, warm=True)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    assert recall(tmp_path, "a").runs == ()
    assert remember(tmp_path / "cache", "a", run()) is None
    assert remember(tmp_path / "cache", "b", run(load=7)) is None
    assert recall(tmp_path / "cache", "a").runs == (run(),)
    assert recall(tmp_path / "cache", "b").runs == (run(load=7),)


def test_it_stays_small(tmp_path: Path) -> None:
    for number in range(KEPT_RUNS + 3):
        remember(tmp_path, "a", run(at=1000.0 + number, load=number))
    assert [kept.seconds[Phase.LOAD] for kept in recall(tmp_path, "a").runs] == [3, 4, 5, 6, 7]
    for number in range(KEPT_KINDS + 10):
        remember(tmp_path, f"kind {number}", run(at=number))
    kinds = json.loads((tmp_path / FILE).read_text())["starts"]
    assert len(kinds) == KEPT_KINDS
    assert "a" in kinds
    assert "kind 0" not in kinds
    assert (tmp_path / FILE).stat().st_size < 100_000
    assert {path.name for path in tmp_path.iterdir()} == {FILE, LOCK}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"\xff" * 10_000,
        b'{"starts": {"a": [{"at": "' + b"x" * 10_000 + b'", "seconds": {}}]}}',
        b"[]",
        b"null",
        b'{"starts": []}',
        b'{"starts": {"a": 1}}',
        b'{"starts": {"a": [{}]}}',
        b'{"starts": {"a": [{"at": 1, "seconds": {"load": -1}, "download_seconds": 0, "warm": true}]}}',
        b'{"starts": {"a": [{"at": 1, "seconds": {"load": NaN}, "download_seconds": 0, "warm": true}]}}',
        b'{"starts": {"a": [{"at": 1, "seconds": {"nap": 1}, "download_seconds": 0, "warm": true}]}}',
        b"[" * 100_000,
        b" " * 2_000_000,
    ],
)
def test_a_damaged_file_is_reported_and_replaced(tmp_path: Path, text: bytes) -> None:
    (tmp_path / FILE).write_bytes(text)
    kept = recall(tmp_path, "a")
    assert kept.runs == ()
    assert "damaged" in (kept.problem or "")
    assert len(kept.problem or "") < 1000
    assert remember(tmp_path, "a", run()) is None
    assert recall(tmp_path, "a").runs == (run(),)


def test_an_unreadable_or_unwritable_file_is_only_reported(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    assert "cannot read" in (recall(tmp_path, "a").problem or "")
    assert "cannot keep" in (remember(tmp_path, "a", run()) or "")
    (tmp_path / "file").write_text("")
    assert "cannot keep" in (remember(tmp_path / "file" / "cache", "a", run()) or "")
    assert "cannot keep" in (remember(Path("/proc/nothing"), "a", run()) or "")
    assert {path.name for path in tmp_path.iterdir()} == {FILE, LOCK, "file"}


def test_services_that_share_a_cache_lose_nothing_of_each_other(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from nim.service_state import Phase\n"
        "from nim.health.startup_history import Run, remember\n"
        "for n in range(5):\n"
        "  run = Run(at=n, seconds={Phase.LOAD: n}, download_seconds=0, warm=True)\n"
        "  assert remember(Path(sys.argv[1]), sys.argv[2], run) is None\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, tmp_path, f"kind {n}"]) for n in range(6)]
    assert [writer.wait(60) for writer in writers] == [0] * 6
    for number in range(6):
        assert [kept.seconds[Phase.LOAD] for kept in recall(tmp_path, f"kind {number}").runs] == [
            0,
            1,
            2,
            3,
            4,
        ]


def test_the_file_is_as_open_as_its_directory(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        for mode in (0o700, 0o770, 0o775):
            cache = tmp_path / f"{mode:o}"
            cache.mkdir()
            cache.chmod(mode)
            remember(cache, "a", run())
            for name in (FILE, LOCK):
                assert (cache / name).stat().st_mode & 0o777 == mode & 0o666
    finally:
        os.umask(before)


def test_starts_are_alike_when_what_takes_time_is_alike(directory: Path) -> None:
    def option(value: object) -> Value:
        return Value(value=value, origin=Origin(layer=Layer.CLI, place="here"))

    plan = make_plan(directory)
    plan = replace(plan, config={"max_num_seqs": option(16), "port": option(8001)})
    same = replace(plan, config={"port": option(8002), "max_num_seqs": option(16)}, run_dir="/elsewhere")
    assert key_of(plan) == key_of(same)
    others = [
        replace(plan, machine="8 × NVIDIA H200"),
        replace(plan, config={"max_num_seqs": option(16), "enforce_eager": option(True)}),
        replace(plan, engine=replace(plan.engine, version="0.33.0")),
        replace(plan, profile=replace(plan.profile, id="1" * 64)),
        replace(plan, model=replace(plan.model, name="another")),
    ]
    assert len({key_of(plan), *map(key_of, others)}) == 6
    assert key_of(plan) == key_of(replace(plan, log_level="DEBUG"))
    assert key_of(plan) != key_of(replace(plan, log_level="WARNING")), "whose phases do not show"
