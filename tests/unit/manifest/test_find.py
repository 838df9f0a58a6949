"""A model's name finds its manifest."""

from pathlib import Path

import pytest

from nim.errors import ManifestError
from nim.manifest import find_manifest, manifest_names

PROFILES = Path(__file__).parents[3] / "profiles"


@pytest.mark.parametrize(
    "name",
    [
        "meta/llama-3.1-8b-instruct",
        "META/Llama-3.1-8B-Instruct",
        "llama-3.1-8b-instruct",
        "meta-llama/Llama-3.1-8B-Instruct",
    ],
)
def test_name_finds_its_manifest(name: str) -> None:
    assert find_manifest(name, PROFILES).name == "meta/llama-3.1-8b-instruct"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("meta/lama-3.1-8b-instruct", "NIM_MODEL_NAME=meta/llama-3.1-8b-instruct"),
        ("mistral/llama-3.1-8b-instruct", "NIM_MODEL_NAME=meta/llama-3.1-8b-instruct"),
        ("nemotron-3-ultra", "nvidia/nemotron-3-ultra-550b-a55b"),
        ("nim/../secret", "NIM_MODEL_PATH"),
        ("zzzz", "NIM_MODEL_PATH"),
        ("", "NIM_MODEL_PATH"),
    ],
)
def test_unknown_name_is_refused_with_those_most_like_it(name: str, hint: str) -> None:
    with pytest.raises(ManifestError) as caught:
        find_manifest(name, PROFILES)
    assert f"'{name}'" in str(caught.value)
    assert hint in str(caught.value)


def test_all_names_are_known() -> None:
    names = manifest_names(PROFILES)
    assert "nim/demo" in names
    assert len(names) == len(set(names)) >= 7


def test_no_directory_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot find a manifest"):
        find_manifest("nim/demo", tmp_path / "none")
