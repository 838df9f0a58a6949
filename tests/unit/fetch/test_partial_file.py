"""What of a partial file is believed after a kill, and after a crash of the machine."""

from pathlib import Path

import pytest

from nim.fetch.download import partial_file
from nim.fetch.download.partial_file import PartialFile
from nim.fetch.sources.remote_files import Digest, RemoteFile

SIZE = 100_000
MD5 = Digest(algorithm="md5", value="0" * 32)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_file, "SEGMENT_BYTES", 40_000)


def begun(path: Path, file: RemoteFile) -> None:
    """Write the half of the first segment, as a process that is killed then."""
    partial = PartialFile(path, file)
    partial.write(partial.segments[0], 0, memoryview(b"x" * 20_000))
    partial.close()


def have(path: Path, file: RemoteFile) -> int:
    """Return how many bytes a new process finds."""
    partial = PartialFile(path, file)
    partial.close()
    return partial.have_bytes


def test_what_was_written_is_found(tmp_path: Path) -> None:
    file = RemoteFile(name="x", size=SIZE, tag='"1"')
    begun(tmp_path / "x", file)
    partial = PartialFile(tmp_path / "x", file)
    assert [(one.start, one.end) for one in partial.missing()] == [
        (20_000, 40_000),
        (40_000, 80_000),
        (80_000, 100_000),
    ]
    partial.close()


def test_bytes_of_another_file_are_not_believed(tmp_path: Path) -> None:
    begun(tmp_path / "x", RemoteFile(name="x", size=SIZE, tag='"1"'))
    assert have(tmp_path / "x", RemoteFile(name="x", size=SIZE, tag='"2"')) == 0


def test_a_record_that_is_ahead_of_the_bytes_is_cut(tmp_path: Path) -> None:
    file = RemoteFile(name="x", size=SIZE, tag='"1"')
    begun(tmp_path / "x", file)
    with (tmp_path / "x").open("r+b") as opened:
        opened.truncate(5_000)
    assert have(tmp_path / "x", file) == 5_000


@pytest.mark.parametrize(("digest", "kept"), [(MD5, 20_000), (None, 0)])
def test_after_a_crash_only_bytes_that_a_digest_will_judge_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: Digest | None, kept: int
) -> None:
    file = RemoteFile(name="x", size=SIZE, digest=digest, tag='"1"')
    begun(tmp_path / "x", file)
    other = tmp_path / "boot_id"
    other.write_text("another run of the machine\n")
    monkeypatch.setattr(partial_file, "_BOOT", other)
    assert have(tmp_path / "x", file) == kept


def test_a_damaged_record_begins_again(tmp_path: Path) -> None:
    file = RemoteFile(name="x", size=SIZE, digest=MD5)
    begun(tmp_path / "x", file)
    (tmp_path / "x.segments").write_bytes(b"nonsense")
    assert have(tmp_path / "x", file) == 0
