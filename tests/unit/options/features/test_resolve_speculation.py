"""NIM_SPECDEC_ENABLE and NIM_DRAFT_MODEL_PATH."""

from dataclasses import replace

import pytest

from nim.errors import SettingsError
from nim.manifest import Profile
from nim.manifest.types import Engine
from nim.options.features.resolve_speculation import NGRAM, draft_entries, ngram_entries
from nim.settings import read_settings

PROFILE = Profile(id="0" * 64, tags={})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/draft", {"model": "/draft", "num_speculative_tokens": 3}),
        ("hf://org/draft", {"model": "org/draft", "num_speculative_tokens": 3}),
        ("hf://org/draft:v1", {"model": "org/draft", "revision": "v1", "num_speculative_tokens": 3}),
    ],
)
def test_a_draft_model_by_path_or_uri(path: str, expected: dict[str, object]) -> None:
    (entry,) = draft_entries(read_settings({"NIM_DRAFT_MODEL_PATH": path}))
    assert (entry.name, entry.value, entry.origin.place) == (
        "speculative_config",
        expected,
        "NIM_DRAFT_MODEL_PATH",
    )


def test_a_draft_model_where_speculation_is_off_is_refused() -> None:
    with pytest.raises(SettingsError, match="NIM_SPECDEC_ENABLE=0"):
        [*draft_entries(read_settings({"NIM_DRAFT_MODEL_PATH": "/d", "NIM_SPECDEC_ENABLE": "0"}))]


def test_repeats_of_the_prompt_are_what_is_left() -> None:
    on = read_settings({"NIM_SPECDEC_ENABLE": "1"})
    (entry,) = ngram_entries(on, PROFILE)
    assert entry.value == NGRAM
    packaged = replace(PROFILE, engine=Engine(args={"speculative-config": {"method": "mtp"}}))
    assert not [*ngram_entries(on, packaged)]
    assert not [*ngram_entries(read_settings({}), PROFILE)]
    assert not [*ngram_entries(read_settings({"NIM_DRAFT_MODEL_PATH": "/d"}), PROFILE)]
