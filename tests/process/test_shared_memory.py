"""Which shared-memory files are removed, and which are not."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nim.cleanup.shared_memory import SHM, Record, in_use, listed, mapped, sweep


def segment(directory: Path, name: str) -> dict[str, int]:
    path = directory / name
    path.write_bytes(b"x" * 4096)
    return {name: path.stat().st_ino}


def test_only_recorded_and_unchanged_segments_are_removed(tmp_path: Path) -> None:
    ours, replaced, others = (segment(tmp_path, name) for name in ("ours", "replaced", "others"))
    (tmp_path / "new").write_bytes(b"another")
    (tmp_path / "new").replace(tmp_path / "replaced")
    gone, size = sweep(ours | replaced | {"nothing": 1, "..": 2, "/etc/passwd": 3}, tmp_path)
    assert (gone, size) == (["ours"], 4096)
    assert {path.name for path in tmp_path.iterdir()} == {"replaced", *others}


@pytest.mark.parametrize("how", ["mapped", "open"])
def test_what_a_living_process_uses_stays(how: str) -> None:
    name = f"psm_test_{how}_{os.getpid()}"
    recorded = segment(SHM, name)
    code = (
        "import mmap,sys; f=open(sys.argv[1],'rb+'); m=mmap.mmap(f.fileno(),4096)\n"
        "if sys.argv[2]=='mapped': f.close()\n"
        "print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(SHM / name), how]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
            assert user.stdout
            user.stdout.readline()
            assert recorded[name] in in_use(SHM)
            assert mapped([user.pid], SHM) == set(recorded.values())
            assert sweep(recorded, SHM) == ([], 0)
        assert sweep(recorded, SHM)[0] == [name]
    finally:
        (SHM / name).unlink(missing_ok=True)


def test_a_semaphore_is_known_although_it_was_made_under_another_name() -> None:
    name = f"sem.test_{os.getpid()}"
    (SHM / f"{name}.first").write_bytes(b"x" * 32)
    try:
        with (SHM / f"{name}.first").open("rb+") as file, mmap.mmap(file.fileno(), 32):
            (SHM / name).hardlink_to(SHM / f"{name}.first")
            (SHM / f"{name}.first").unlink()
            assert listed(SHM)[name] in mapped([os.getpid()], SHM)
    finally:
        (SHM / name).unlink(missing_ok=True)


def test_a_record_is_held_by_one_service_and_survives_it(tmp_path: Path) -> None:
    first, second = (Record(Path("/run/nim"), tmp_path) for _ in range(2))
    assert not first.open(create=False)
    assert not list(tmp_path.iterdir())
    assert first.open(create=True)
    assert first.read() == {}
    first.write({"a": 1, "b": 2})
    first.write({"c": 3})
    assert not second.open(create=True)
    assert Record(Path("/run/other"), tmp_path).open(create=True)
    first.close(remove=False)
    assert second.open(create=False)
    assert second.read() == {"c": 3}
    second.close(remove=True)
    assert not list(tmp_path.glob(second._path.name))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": "x"}', "\xff"])
def test_a_damaged_record_names_nothing(tmp_path: Path, text: str) -> None:
    record = Record(Path("/run/nim"), tmp_path)
    record._path.write_text(text, encoding="latin-1")
    record._path.chmod(0o600)
    assert record.open(create=True)
    assert record.read() == {}
    record.close(remove=True)


def test_a_record_that_others_could_have_written_is_not_believed(tmp_path: Path) -> None:
    record = Record(Path("/run/nim"), tmp_path)
    record._path.write_text('{"a": 1}')
    record._path.chmod(0o666)
    assert not record.open(create=True)
    record._path.unlink()
    record._path.symlink_to(tmp_path / "elsewhere")
    assert not record.open(create=True)
    assert not Record(Path("/run/nim"), tmp_path / "nothing").open(create=True)
