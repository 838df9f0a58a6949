"""Progress of a download, from the bytes on disk."""

import json
from pathlib import Path

import pytest

from nim.health.measure_download_progress import DownloadProgress, Found, scan_download
from nim.plan import Download

GB = 10**9


def fetching(total: int | None = 45 * GB) -> tuple[DownloadProgress, list[str]]:
    said: list[str] = []
    return DownloadProgress(Download(directory="/nowhere", total_bytes=total), said.append), said


def test_a_line_every_fifteen_seconds_with_bytes_rate_and_time() -> None:
    download, said = fetching()
    for now in range(0, 41, 2):
        download.add_scan(Found(have_bytes=now * 310_000_000, partial=True), float(now))
    assert said == [
        "fetched 5.0 of 45.0 GB, 310 MB/s, about 129 s left",
        "fetched 9.9 of 45.0 GB, 310 MB/s, about 113 s left",
    ]
    assert download.progress == pytest.approx(12.4 / 45)
    assert download.rest(40.0) == pytest.approx(105.2, abs=0.1)
    assert download.rest(45.0) == pytest.approx(100.2, abs=0.1)
    assert (download.seconds, download.needed) == (40.0, True)


def test_an_unknown_size_is_not_guessed() -> None:
    download, said = fetching(None)
    for now in range(0, 20, 2):
        download.add_scan(Found(have_bytes=now * 50_000_000, partial=True), float(now))
    assert said == ["fetched 800.0 MB, 50 MB/s"]
    assert (download.progress, download.rest(20.0)) == (None, None)


def test_the_size_in_the_models_index_takes_precedence_over_the_profiles() -> None:
    download, _ = fetching(45 * GB)
    download.add_scan(Found(), 0.0)
    download.add_scan(Found(have_bytes=10 * GB, partial=True, total_bytes=40 * GB), 10.0)
    assert download.progress == 0.25
    assert download.rest(10.0) == 30


def test_a_model_that_is_there_is_not_fetched_and_not_talked_about() -> None:
    download, said = fetching()
    for now in range(0, 100, 2):
        download.add_scan(Found(have_bytes=45 * GB + 1000), float(now))
    assert (download.needed, download.progress, download.rest(99.0), said) == (False, None, None, [])
    assert download.seconds == 0


def test_a_resumed_download_counts_from_what_is_there() -> None:
    download, _ = fetching()
    download.add_scan(Found(have_bytes=30 * GB, partial=True), 0.0)
    download.add_scan(Found(have_bytes=33 * GB, partial=True), 10.0)
    assert download.progress == pytest.approx(33 / 45)
    assert download.rest(10.0) == pytest.approx(40)


def test_a_download_without_progress_has_no_eta() -> None:
    download, said = fetching()
    for now in range(0, 50, 2):
        download.add_scan(Found(have_bytes=5 * GB, partial=True), float(now))
    assert download.rest(50.0) is None
    assert said[-1] == "fetched 5.0 of 45.0 GB, 0.0 MB/s"


def test_more_than_there_should_be_is_a_size_that_is_not_known() -> None:
    """An older version of the model lies beside the new one."""
    download, _ = fetching()
    download.add_scan(Found(have_bytes=45 * GB), 0.0)
    download.add_scan(Found(have_bytes=50 * GB, partial=True), 10.0)
    assert (download.needed, download.progress, download.rest(10.0)) == (True, None, None)


def test_the_bytes_in_the_hub_directory_are_counted(tmp_path: Path) -> None:
    assert scan_download(tmp_path / "nothing") == Found()
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "whole").write_bytes(b"x" * 10_000)
    assert scan_download(tmp_path) == Found(have_bytes=10_000)
    with (blobs / "part.1234.incomplete").open("wb") as file:
        file.truncate(1 << 30)  # sparse: reserved, not fetched
        file.write(b"x" * 8192)
        file.flush()
        found = scan_download(tmp_path)
    assert found.partial
    assert 10_000 < found.have_bytes < 1_000_000
    index = {"metadata": {"total_size": 123_456_789}, "weight_map": {f"w{n}": "f" for n in range(9999)}}
    (blobs / "index").write_text(json.dumps(index))
    (snapshot / "model.safetensors.index.json").symlink_to("../../blobs/index")
    assert scan_download(tmp_path).total_bytes == 123_456_789
    (blobs / "index").write_text(json.dumps(dict(reversed(index.items()))))
    assert scan_download(tmp_path).total_bytes == 123_456_789
    (blobs / "index").write_text("not an index")
    assert scan_download(tmp_path).total_bytes is None
