"""What vLLM would find out at a first start is copied into its cache."""

from pathlib import Path

import pytest

from nim.preflight.fill_engine_cache import fill_engine_cache

RELEASE = "1.2.3+cpu"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A set-up's results of one release: two classes."""
    inspected = tmp_path / "source" / RELEASE / "modelinfos"
    inspected.mkdir(parents=True)
    (inspected / "a.json").write_text("A")
    (inspected / "b.json").write_text("B")
    return tmp_path / "source"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "vllm"


def contents(cache: Path) -> dict[str, str]:
    return {
        file.name: file.read_text() for file in (cache / "modelinfos").glob("*") if file.suffix == ".json"
    }


def test_a_first_start_finds_every_class(source: Path, cache: Path) -> None:
    fill_engine_cache(RELEASE, {"VLLM_CACHE_ROOT": str(cache)}, source)
    assert contents(cache) == {"a.json": "A", "b.json": "B"}


def test_results_of_an_older_release_are_replaced_once(source: Path, cache: Path) -> None:
    (cache / "modelinfos").mkdir(parents=True)
    (cache / "modelinfos" / "a.json").write_text("of an older release")
    for _ in range(2):
        fill_engine_cache(RELEASE, {"VLLM_CACHE_ROOT": str(cache)}, source)
        assert contents(cache)["a.json"] == "A"
    (cache / "modelinfos" / "a.json").write_text("the engine's own")
    fill_engine_cache(RELEASE, {"VLLM_CACHE_ROOT": str(cache)}, source)
    assert contents(cache)["a.json"] == "the engine's own"


@pytest.mark.parametrize("version", [None, "", "9.9.9", ".."])
def test_another_release_or_none_changes_nothing(source: Path, cache: Path, version: str | None) -> None:
    fill_engine_cache(version, {"VLLM_CACHE_ROOT": str(cache)}, source)
    assert not cache.exists()


def test_without_a_cache_directory_nothing_is_written(source: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    fill_engine_cache(RELEASE, {}, source)
    assert set(tmp_path.rglob("*")) == before


def test_a_cache_that_cannot_be_written_is_left_alone(source: Path, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("a file in the directory's place")
    fill_engine_cache(RELEASE, {"VLLM_CACHE_ROOT": str(cache)}, source)
    assert cache.read_text() == "a file in the directory's place"
