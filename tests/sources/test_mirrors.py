"""`nim mirror` and NIM_REPOSITORY_OVERRIDE: a model goes to a mirror, and comes back from there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.hub_launch import RunningHub, running_hub
from tests.fetch.conftest import Commands, commands
from tests.sources.store_servers import BUCKET, KEY, SECRET, running_moto, s3_client

FILES = ("SHA256SUMS", "config.json", "model.safetensors", "tokenizer.json")


@pytest.fixture
def hub(tmp_path: Path, model: Path) -> Iterator[RunningHub]:
    with running_hub(tmp_path / "hub", {"org/name": {"path": model / "model"}}) as running:
        yield running


@pytest.fixture
def nim(tmp_path: Path, hub: RunningHub) -> Commands:
    return commands(tmp_path, hub)


def fetched(nim: Commands, cache: Path, override: str, **env: str) -> dict[str, object]:
    """Return the row of `nim fetch` into a new cache with a mirror."""
    settings = {"NIM_CACHE_PATH": str(cache), "NIM_REPOSITORY_OVERRIDE": override, **env}
    done = nim("fetch", "--model-uri", "hf://org/name", "--json", **settings)
    assert done.returncode == 0, done.stderr
    row: dict[str, object] = json.loads(done.stdout)["sources"][0]
    return row | {"said": done.stderr}


def test_a_directory_as_a_mirror(nim: Commands, hub: RunningHub, tmp_path: Path, model: Path) -> None:
    mirror = tmp_path / "mirror"
    done = nim("mirror", str(mirror), "--model-uri", "hf://org/name")
    assert done.returncode == 0, done.stderr
    assert f"NIM_REPOSITORY_OVERRIDE={mirror}" in done.stdout
    place = mirror / "hf/org/name/main"
    assert sorted(path.name for path in place.iterdir()) == list(FILES)
    again = json.loads(nim("mirror", str(mirror), "--model-uri", "hf://org/name", "--json").stdout)
    assert again["models"][0]["copied_files"] == 0
    asked = len(hub.asked())
    row = fetched(nim, tmp_path / "other", str(mirror))
    assert row["source"] == "hf://org/name"
    origin = model / "model" / "model.safetensors"
    assert (Path(str(row["directory"])) / "model.safetensors").read_bytes() == origin.read_bytes()
    assert len(hub.asked()) == asked


def test_a_bucket_as_a_mirror(nim: Commands, hub: RunningHub, tmp_path: Path, model: Path) -> None:
    with running_moto(tmp_path) as url:
        s3_client(url).create_bucket(Bucket=BUCKET)
        keys = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        target = f"s3://{BUCKET}/mirror"
        done = nim("mirror", target, "--model-uri", "hf://org/name", **keys)
        assert done.returncode == 0, done.stderr
        found = s3_client(url).list_objects_v2(Bucket=BUCKET)["Contents"]
        assert [one["Key"] for one in found] == [f"mirror/hf/org/name/main/{name}" for name in FILES]
        asked = len(hub.asked())
        row = fetched(nim, tmp_path / "other", target, **keys)
        origin = model / "model" / "model.safetensors"
        assert (Path(str(row["directory"])) / "model.safetensors").read_bytes() == origin.read_bytes()
        assert len(hub.asked()) == asked


def test_a_list_of_mirrors_falls_back_to_the_source(nim: Commands, tmp_path: Path, model: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    row = fetched(nim, tmp_path / "other", f"{empty},source")
    assert f"{empty}/hf/org/name/main: there is no directory" in str(row["said"])
    assert "hf://org/name is asked instead" in str(row["said"])
    origin = model / "model" / "model.safetensors"
    assert (Path(str(row["directory"])) / "model.safetensors").read_bytes() == origin.read_bytes()


def test_a_mirror_without_the_model_is_named(nim: Commands, tmp_path: Path) -> None:
    settings = {"NIM_CACHE_PATH": str(tmp_path / "other"), "NIM_REPOSITORY_OVERRIDE": "/nowhere"}
    done = nim("fetch", "--model-uri", "hf://org/name", **settings)
    assert done.returncode == 6
    assert "cannot fetch hf://org/name: /nowhere/hf/org/name/main: there is no directory" in done.stderr


@pytest.mark.parametrize("override", ["mirror", "ftp://host", "hf://org/name", "s3://"])
def test_what_is_no_mirror_is_refused_at_once(nim: Commands, override: str) -> None:
    done = nim("plan", NIM_REPOSITORY_OVERRIDE=override)
    assert done.returncode == 2
    assert f"cannot use NIM_REPOSITORY_OVERRIDE '{override}': it is no mirror" in done.stderr


def test_what_cannot_be_copied_to_is_refused(nim: Commands) -> None:
    done = nim("mirror", "https://host/x", "--model-uri", "hf://org/name")
    assert done.returncode == 2
    assert "cannot use TARGET 'https://host/x'" in done.stderr
