"""`nim model hf://…`: from the hub's cache, else from the small files on the hub."""

import json

from tests.fetch.conftest import Commands


def test_small_files_alone_are_fetched_and_nothing_stays(nim: Commands) -> None:
    done = nim("model", "hf://org/good", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["architecture"] is None
    assert not list(nim.cache.rglob("*.safetensors"))
    assert not list(nim.cache.rglob("config.json"))


def test_cache_is_asked_before_the_hub(nim: Commands) -> None:
    assert nim("fetch", "--model-uri", "hf://org/good").returncode == 0
    done = nim("model", "hf://org/good", "--json", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr


def test_offline_the_hub_is_not_asked(nim: Commands) -> None:
    done = nim("model", "hf://org/good", HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert "HF_HUB_OFFLINE=1 says to fetch nothing" in done.stderr


def test_refusals_of_the_hub_are_reported(nim: Commands) -> None:
    done = nim("model", "hf://org/gated")
    assert done.returncode == 6
    assert "hf://org/gated" in done.stderr
