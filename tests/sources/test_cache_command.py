"""`nim cache`: what is in the cache, whether it is whole, and what no start uses."""

import json
import os
from pathlib import Path

import pytest

from nim.cli.main import main
from nim.models.remote.cache_directories import directory_of
from tests.fakes.hub_launch import running_hub
from tests.fetch.conftest import commands
from tests.sources.conftest import Downloader
from tests.sources.file_server import serving_files

WEIGHTS = "model.safetensors"
HOUR = 3600


@pytest.fixture
def cache(fetch: Downloader, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIM_CACHE_PATH", str(fetch.cache))
    return fetch.cache


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    """Return {URI: row} of `nim cache list --json`."""
    capsys.readouterr()
    assert main(["cache", "list", "--json"]) == 0
    return {row["uri"]: row for row in json.loads(capsys.readouterr().out)["models"]}


def test_a_model_is_listed_verified_and_removed(
    model: Path, fetch: Downloader, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving_files(model) as server:
        uri = f"{server.url}/model"
        done = fetch(uri)
        row = listed(capsys)[uri]
        assert (row["version"], row["files"], row["bytes"]) == (done.version, 3, done.total_bytes)
        assert main(["cache", "verify"]) == 0
        assert f"{uri}: 3 files, 0 damaged" in capsys.readouterr().out
        assert main(["cache", "prune"]) == 0
        assert listed(capsys)[uri]["version"] == done.version
        assert main(["cache", "prune", uri]) == 0
        assert not directory_of(cache, uri).exists()
        assert uri not in listed(capsys)


def test_a_flipped_bit_on_the_disk_is_found_and_only_that_file_fetched_again(
    model: Path, fetch: Downloader, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving_files(model) as server:
        uri = f"{server.url}/model"
        fetch(uri)
        file = directory_of(cache, uri) / "current" / WEIGHTS
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        assert main(["cache", "verify", uri]) == 6
        told = capsys.readouterr()
        assert f"{file}: crc32:" in told.out
        assert "nim cache verify --remove" in told.err
        assert main(["cache", "verify", "--remove"]) == 6
        assert listed(capsys)[uri]["version"] is None
        before = server.sent_bytes
        fetch(uri)
        assert fetch.same(uri, model / "model")
        assert server.sent_bytes - before == file.stat().st_size
        assert main(["cache", "verify"]) == 0


def test_older_versions_and_abandoned_downloads_are_pruned(
    model: Path, fetch: Downloader, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving_files(model) as server:
        uri = f"{server.url}/model"
        first = fetch(uri)
        (model / "model" / "config.json").write_text('{"model_type": "llama", "changed": 1}')
        second = fetch(uri, refresh=True)
        assert first.version != second.version
        directory = directory_of(cache, uri)
        old = directory / "snapshots" / first.version
        partial = directory / "partial"
        partial.mkdir()
        (partial / "x").write_bytes(b"x")
        assert main(["cache", "prune", "--dry-run"]) == 0
        said = capsys.readouterr().out
        assert f"{old}: " in said
        assert str(partial) not in said
        os.utime(partial / "x", (1, 1))
        assert main(["cache", "prune"]) == 0
        assert not old.exists()
        assert not partial.exists()
        assert fetch.same(uri, model / "model")
        assert fetch(uri).fetched_bytes == 0


def test_what_is_not_there_is_said(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "list"]) == 0
    assert "nothing is in the cache" in capsys.readouterr().out
    assert main(["cache", "verify", "s3://bucket/x"]) == 2
    assert "cannot find s3://bucket/x in the cache" in capsys.readouterr().err


def test_the_part_of_the_hub(tmp_path: Path, model: Path) -> None:
    """Its blobs are named after their digests, which are verified as well."""
    with running_hub(tmp_path / "hub", {"org/name": {"path": model / "model"}}) as hub:
        nim = commands(tmp_path, hub)
        assert nim("fetch", "--model-uri", "hf://org/name").returncode == 0
    (row,) = json.loads(nim("cache", "list", "--json").stdout)["models"]
    assert row["uri"] == "hf://org/name"
    assert row["version"]
    verified = json.loads(nim("cache", "verify", "--json").stdout)["models"][0]
    assert verified["damaged"] == []
    assert nim("cache", "prune").returncode == 0
    assert nim.here("name") >= {"config.json", WEIGHTS}
    blob = next(nim.directory("name").glob("snapshots/*/model.safetensors")).resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    done = nim("cache", "verify")
    if verified["files"]:  # the fake hub names its blobs as the hub does
        assert done.returncode == 6
        assert str(blob) in done.stdout
