"""Sizes that no model has: unknown, with a word, and never a reason to say that a model fits."""

from typing import Any

import pytest

from nim.models.cache import CacheSettings, find_pool
from nim.models.config.model_config import model_config
from nim.models.config.warn_implausible_sizes import odd_sizes
from nim.models.facts import ModelFacts, facts_of
from nim.models.weights.weight_matrices import Ranks
from tests.unit.models.models import FAMILIES, LLAMA

ZERO = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
BELOW = (*ZERO, "intermediate_size", "num_key_value_heads")


def cache_bytes(facts: ModelFacts) -> int | None:
    pool = find_pool(facts.reading, CacheSettings(context=1024))
    return None if pool is None else pool.sequence_bytes(1024)


@pytest.mark.parametrize(
    ("name", "value"), [*((name, 0) for name in ZERO), *((name, -64) for name in BELOW), ("head_dim", -128)]
)
def test_size_that_no_model_has_is_unknown_and_named(name: str, value: int) -> None:
    config = model_config(LLAMA | {name: value})
    facts = facts_of(config)
    assert [f"{name} is {value}" in words for words in odd_sizes(config)] == [True]
    found = (facts.rank_bytes(Ranks()), cache_bytes(facts))
    whole = facts_of(model_config(LLAMA))
    sound = (whole.rank_bytes(Ranks()), cache_bytes(whole))
    for ours, theirs in zip(found, sound, strict=True):
        assert ours is None or ours >= (theirs or 0) * 0.9


@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
def test_nothing_is_said_of_a_sound_model(model: dict[str, Any]) -> None:
    assert odd_sizes(model_config(model)) == ()


@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
def test_no_number_below_0_makes_a_size_negative(model: dict[str, Any]) -> None:
    for name, value in model.items():
        if isinstance(value, int) and not isinstance(value, bool):
            facts = facts_of(model_config(model | {name: -value or -1}))
            assert (facts.rank_bytes(Ranks()) or 1) > 0, name
            assert (cache_bytes(facts) or 1) > 0, name
            assert facts.reading.context is None or facts.reading.context.tokens > 0, name


def test_sentinels_are_no_sizes() -> None:
    assert odd_sizes(model_config(LLAMA | {"sliding_window": -1, "sliding_window_size": -1})) == ()


@pytest.mark.parametrize("block", [[-128, 128], [0, 128], ["a", 1], [None, None]], ids=str)
def test_blocks_without_a_size_are_unknown(block: list[Any]) -> None:
    fp8 = {"quant_method": "fp8", "weight_block_size": block}
    weights = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": block}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    packed = {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": groups}
    for stored in (fp8, packed):
        facts = facts_of(model_config(LLAMA | {"quantization_config": stored}))
        assert facts.rank_bytes(Ranks()) is None
        assert facts.tensor_parallel_sizes() == (1, 2, 4, 8, 16)
