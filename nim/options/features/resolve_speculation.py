"""Resolve NIM_SPECDEC_ENABLE and NIM_DRAFT_MODEL_PATH to --speculative-config."""

from collections.abc import Iterator, Mapping
from typing import Any

from nim.errors import SettingsError
from nim.manifest import Profile
from nim.models.requested_model import HUB
from nim.options.option_layers import Entry
from nim.selection.find_named_profile import speculates
from nim.settings import Settings
from nim.value_origins import Layer, Origin

OPTION = "speculative_config"
ENABLE, DRAFT = "NIM_SPECDEC_ENABLE", "NIM_DRAFT_MODEL_PATH"
DRAFTED_TOKENS = 3
# Repeats of the prompt's own words, found without any model.
NGRAM: Mapping[str, Any] = {
    "method": "ngram",
    "num_speculative_tokens": DRAFTED_TOKENS,
    "prompt_lookup_max": 4,
    "prompt_lookup_min": 2,
}


def draft_entries(settings: Settings) -> Iterator[Entry]:
    """Yield the Entry of a draft model; SettingsError if it is named where speculation is switched off."""
    path = settings.draft_model_path
    if path is None:
        return
    if settings.specdec_enable is False:
        raise SettingsError(
            f"cannot use {DRAFT} '{path}' (from the environment) with {ENABLE}=0",
            hint=f"unset {DRAFT}, or {ENABLE}=1",
        )
    value: dict[str, Any] = {"model": path, "num_speculative_tokens": DRAFTED_TOKENS}
    if path.startswith(HUB):
        name, _, revision = path.removeprefix(HUB).partition(":")
        value |= {"model": name} | ({"revision": revision} if revision else {})
    yield Entry(name=OPTION, value=value, origin=Origin(layer=Layer.ENV, place=DRAFT))


def ngram_entries(settings: Settings, profile: Profile) -> Iterator[Entry]:
    """Yield the Entry of n-gram speculation where NIM_SPECDEC_ENABLE finds nothing else; the weakest."""
    if settings.specdec_enable and settings.draft_model_path is None and not speculates(profile.engine.args):
        origin = Origin(layer=Layer.DERIVED, place=f"{ENABLE}: neither a draft model nor a variant for it")
        yield Entry(name=OPTION, value=dict(NGRAM), origin=origin)
