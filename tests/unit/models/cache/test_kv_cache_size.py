"""Bytes of a sequence's cache, compared with vLLM 0.32's own figures."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.models.cache import (
    CacheSettings,
    cache_bytes,
    default_batched_tokens,
    longest_context,
    spare_block_bytes,
    stage_layers,
)
from nim.models.types import ModelReading
from tests.unit.models.models import (
    DEEPSEEK_V3,
    DEEPSEEK_V32,
    FAMILIES,
    GEMMA3,
    LLAMA,
    NEMOTRON_H,
    QWEN3_NEXT,
    WHISPER,
    reading,
)

GIB = 2**30
families = st.sampled_from([reading(config) for config in FAMILIES.values()])
contexts = st.integers(1, 300_000)
ranks = st.sampled_from([1, 2, 4, 8])


def size(config: dict[str, Any], context: int, **settings: Any) -> int:
    found = cache_bytes(reading(config), CacheSettings(context=context, **settings))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("config", "context", "settings", "expected"),
    [
        (LLAMA, 131072, {}, 17_179_869_184),
        (LLAMA, 131072, {"tensor_parallel_size": 8}, 2_147_483_648),
        (LLAMA, 131072, {"tensor_parallel_size": 16}, 2_147_483_648),  # KV heads are repeated
        (LLAMA, 131072, {"pipeline_parallel_size": 2}, 8_589_934_592),
        (LLAMA, 131072, {"kv_cache_dtype": "fp8"}, 8_589_934_592),
        (DEEPSEEK_V3, 163840, {}, 11_513_364_480),
        (DEEPSEEK_V3, 163840, {"tensor_parallel_size": 8}, 11_513_364_480),  # the same on every rank
        (GEMMA3, 131072, {}, 19_301_662_720),
        (WHISPER, 448, {"dtype": "float16"}, 176_947_200),  # and as many of the encoder's as a step takes
        (DEEPSEEK_V32, 163840, {"kv_cache_dtype": "fp8_e4m3"}, 7_075_921_920),
        (DEEPSEEK_V32, 163840, {"kv_cache_dtype": "fp8"}, 7_875_461_120),  # another kernel's layout
        (DEEPSEEK_V32, 163840, {"kv_cache_dtype": "fp8", "capability": (10, 0)}, 7_075_921_920),
    ],
)
def test_engine_s_own_figures(
    config: dict[str, Any], context: int, settings: dict[str, Any], expected: int
) -> None:
    assert size(config, context, **settings) == expected


def test_window_and_chunk_bound_what_is_kept() -> None:
    config = {**LLAMA, "sliding_window": 4096}
    assert size(config, 131072) == size(config, 1_000_000) < size(LLAMA, 131072)
    assert size(config, 131072, batched_tokens=2048) < size(config, 131072, batched_tokens=8192)


def test_state_does_not_grow_with_the_context() -> None:
    config = {**NEMOTRON_H, "hybrid_override_pattern": "M-M-"}
    assert size(config, 1) == size(config, 8192)


def test_attention_s_block_holds_a_state() -> None:
    """32 layers of Mamba at once would not fit the 16 tokens that a block has otherwise."""
    spare = spare_block_bytes(reading(QWEN3_NEXT), CacheSettings(context=1))
    assert spare is not None
    assert spare > 12 * 16 * 2 * 2 * 256 * 2


def test_checkpoint_may_ask_for_another_data_type() -> None:
    scheme = {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}
    config = {**LLAMA, "quantization_config": scheme}
    assert size(config, 131072) == 8_589_934_592
    assert size(config, 131072, kv_cache_dtype="bfloat16") == 17_179_869_184


def test_unknown_layers_have_an_unknown_cache() -> None:
    unknown, settings = ModelReading(), CacheSettings(context=4096)
    assert cache_bytes(unknown, settings) is None
    assert longest_context(unknown, GIB, settings) is None


def test_type_that_not_all_layers_have_is_unknown() -> None:
    settings = CacheSettings(context=4096, kv_cache_dtype="turboquant_4bit_nc")
    assert cache_bytes(reading(LLAMA), settings) is None


def test_encoder_keeps_nothing() -> None:
    assert size({"model_type": "bert"}, 512) == 0


def test_longest_context_leaves_a_spare_block() -> None:
    settings = CacheSettings(context=131072)
    assert longest_context(reading(LLAMA), GIB, settings) == 8192 - 16
    assert longest_context(reading(LLAMA), 100 * GIB, settings) == 131072
    assert longest_context(reading(LLAMA), 0, settings) == 0


@given(families, contexts, ranks, ranks)
def test_more_ranks_never_keep_more_on_each(model: ModelReading, context: int, one: int, other: int) -> None:
    few, many = sorted((one, other))
    settings = CacheSettings(context=context, tensor_parallel_size=few)
    less = cache_bytes(model, replace(settings, tensor_parallel_size=many))
    more = cache_bytes(model, settings)
    assert less is not None
    assert more is not None
    assert less <= more


@given(families, contexts, contexts)
def test_longer_contexts_never_take_less(model: ModelReading, one: int, other: int) -> None:
    sizes = [cache_bytes(model, CacheSettings(context=context)) for context in sorted((one, other))]
    assert sizes[0] is not None
    assert sizes[1] is not None
    assert sizes[0] <= sizes[1]


@given(families, contexts, ranks)
def test_what_a_context_takes_holds_that_context(model: ModelReading, context: int, size: int) -> None:
    settings = CacheSettings(context=context, tensor_parallel_size=size)
    needed, spare = cache_bytes(model, settings), spare_block_bytes(model, settings)
    assert needed is not None
    assert spare is not None
    assert longest_context(model, needed + spare, settings) == context


@given(families, st.integers(0, 10 * GIB))
def test_longest_context_fits_and_one_more_token_does_not(model: ModelReading, memory: int) -> None:
    settings = CacheSettings(context=1_000_000)
    longest, spare = longest_context(model, memory, settings), spare_block_bytes(model, settings)
    assert longest is not None
    assert spare is not None
    if longest:
        held = cache_bytes(model, replace(settings, context=longest))
        assert held is not None
        assert held + spare <= memory
    if longest < settings.context:
        missed = cache_bytes(model, replace(settings, context=longest + 1))
        assert missed is not None
        assert missed + spare > memory


@given(st.integers(1, 200), st.integers(1, 8))
def test_every_layer_has_one_stage(layers: int, stages: int) -> None:
    shared = stage_layers(layers, stages)
    assert [index for stage in shared for index in stage] == list(range(layers))
    sizes = [len(stage) for stage in shared]
    assert max(sizes) - min(sizes) <= 1


def test_rest_goes_to_the_last_stages_but_one() -> None:
    assert [len(stage) for stage in stage_layers(61, 4)] == [15, 15, 16, 15]


@pytest.mark.parametrize(
    ("memory", "gpu", "tokens"),
    [
        (24 * GIB, "NVIDIA L4", 2048),
        (80 * GIB, "NVIDIA A100-SXM4-80GB", 2048),
        (80 * GIB, "NVIDIA H100", 8192),
        (180 * GIB, "NVIDIA B200", 16384),
    ],
)
def test_engine_s_batch_depends_on_the_gpu(memory: int, gpu: str, tokens: int) -> None:
    assert default_batched_tokens(memory, gpu) == tokens
