"""Adapters of object stores and of the hub, fetched into the cache and kept up to date there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nim.errors import WeightsError
from nim.fetch.refresh_adapters import fetch_changed, is_fetched
from nim.models.read_lora_adapters import adapter_directories
from nim.models.remote.cache_directories import CURRENT, SNAPSHOTS
from nim.plan import RemoteModel
from tests.fakes.hub_launch import running_hub
from tests.middleware.adapter_engine import put_adapter
from tests.sources.file_server import serving_files
from tests.sources.store_servers import BUCKET, KEY, SECRET, running_moto, s3_client

PREFIX = "some/adapters"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_moto(tmp_path_factory.mktemp("moto")) as url:
        s3_client(url).create_bucket(Bucket=BUCKET)
        yield url


def fetched(directory: Path, uri: str) -> dict[str, Path]:
    """Fetch what has changed; return {name: directory} of the adapters that are served then."""
    remote = RemoteModel(uri=uri, directory=str(directory), adapters=True)
    fetch_changed(remote, os.environ, lambda _level, _message: None)
    assert is_fetched(remote)
    return dict(adapter_directories(directory / CURRENT, "itself"))


def put(url: str, source: Path, *names: str) -> None:
    """Put the adapters of these names below the prefix."""
    for name in names:
        for path in (source / name).iterdir():
            s3_client(url).upload_file(str(path), BUCKET, f"{PREFIX}/{name}/{path.name}")


def credentials(url: str) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


def inodes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in directory.iterdir()}


def test_a_bucket_is_followed(moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in credentials(moto).items():
        monkeypatch.setenv(name, text)
    source, cache, uri = tmp_path / "source", tmp_path / "cache", f"s3://{BUCKET}/{PREFIX}"
    source.mkdir()
    put_adapter(source, "a")
    put_adapter(source, "b")
    (source / "a" / "README.md").write_text("no part of an adapter")
    put(moto, source, "a", "b")
    first = fetched(cache, uri)
    assert sorted(first) == ["a", "b"]
    assert sorted(inodes(first["a"])) == ["adapter_config.json", "adapter_model.safetensors"]
    before = inodes(first["a"])
    put_adapter(source, "b", of="german", r=4)
    put_adapter(source, "c")
    put(moto, source, "b", "c")
    second = fetched(cache, uri)
    assert sorted(second) == ["a", "b", "c"]
    assert inodes(second["a"]) == before, "what has not changed is the same file, which is not loaded again"
    assert (second["b"] / "adapter_config.json").read_bytes() == (
        source / "b" / "adapter_config.json"
    ).read_bytes()
    for path in (source / "a").iterdir():
        s3_client(moto).delete_object(Bucket=BUCKET, Key=f"{PREFIX}/a/{path.name}")
    assert sorted(fetched(cache, uri)) == ["b", "c"]
    assert len([path for path in (cache / SNAPSHOTS).iterdir() if path.is_dir()]) == 2
    assert sorted(fetched(cache, uri)) == ["b", "c"], "nothing has changed"


def test_a_repository_of_the_hub_is_one_adapter_or_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_adapter(tmp_path, "pirate")
    several = tmp_path / "several"
    several.mkdir()
    put_adapter(several, "german", of="german")
    repositories = {"org/pirate": {"path": tmp_path / "pirate"}, "org/several": {"path": several}}
    with running_hub(tmp_path / "hub", repositories) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        single = fetched(tmp_path / "one", "hf://org/pirate")
        many = fetched(tmp_path / "many", "hf://org/several")
    assert single == {"itself": tmp_path / "one" / CURRENT}
    assert sorted(many) == ["german"]


@pytest.mark.parametrize("names", [["config.json", "model.safetensors"], ["a/b/adapter_config.json"]])
def test_what_has_no_adapter_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        path = tmp_path / "origin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    (tmp_path / "origin" / "SHA256SUMS").write_text("".join(f"{'0' * 64}  {name}\n" for name in names))
    with (
        serving_files(tmp_path) as server,
        pytest.raises(WeightsError, match="is an adapter_config") as refused,
    ):
        fetched(tmp_path / "cache", f"{server.url}/origin")
    assert "NIM_PEFT_SOURCE" in str(refused.value.hint)
