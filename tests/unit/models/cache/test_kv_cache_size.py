"""Bytes of a sequence's cache, compared with vLLM 0.32's own figures."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.models.cache import CachePool, CacheSettings, default_batched_tokens, find_pool, stage_layers
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


def pool_of(model: ModelReading, **settings: Any) -> CachePool:
    found = find_pool(model, CacheSettings(**{"context": 1_000_000} | settings))
    assert found is not None
    return found


def size(config: dict[str, Any], context: int, **settings: Any) -> int:
    return pool_of(reading(config), **settings).sequence_bytes(context)


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
    assert pool_of(reading(QWEN3_NEXT)).block_bytes > 12 * 16 * 2 * 2 * 256 * 2


def test_checkpoint_may_ask_for_another_data_type() -> None:
    scheme = {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}
    config = {**LLAMA, "quantization_config": scheme}
    assert size(config, 131072) == 8_589_934_592
    assert size(config, 131072, kv_cache_dtype="bfloat16") == 17_179_869_184


def test_unknown_layers_have_an_unknown_cache() -> None:
    assert find_pool(ModelReading(), CacheSettings(context=4096)) is None


def test_type_that_not_all_layers_have_is_unknown() -> None:
    settings = CacheSettings(context=4096, kv_cache_dtype="turboquant_4bit_nc")
    assert find_pool(reading(LLAMA), settings) is None


def test_encoder_keeps_nothing() -> None:
    assert size({"model_type": "bert"}, 512) == 0


def test_longest_context_leaves_a_spare_block() -> None:
    pool = pool_of(reading(LLAMA), context=131072)
    assert pool.longest_context(GIB) == 8192 - 16
    assert pool.longest_context(100 * GIB) == 131072
    assert pool.longest_context(0) == 0


@given(families, contexts, ranks, ranks)
def test_more_ranks_never_keep_more_on_each(model: ModelReading, context: int, one: int, other: int) -> None:
    less, more = (
        pool_of(model, tensor_parallel_size=size).sequence_bytes(context)
        for size in sorted((one, other), reverse=True)
    )
    assert less <= more


@given(families, contexts, contexts)
def test_longer_contexts_never_take_less(model: ModelReading, one: int, other: int) -> None:
    pool = pool_of(model)
    assert pool.sequence_bytes(min(one, other)) <= pool.sequence_bytes(max(one, other))


@given(families, contexts, ranks)
def test_what_a_context_takes_holds_that_context(model: ModelReading, context: int, size: int) -> None:
    pool = pool_of(model, context=context, tensor_parallel_size=size)
    assert pool.longest_context(pool.sequence_bytes(context) + pool.block_bytes) == context


@given(families, st.integers(0, 10 * GIB))
def test_longest_context_fits_and_one_more_token_does_not(model: ModelReading, memory: int) -> None:
    pool = pool_of(model)
    longest, room = pool.longest_context(memory), memory - pool.block_bytes
    assert not longest or pool.sequence_bytes(longest) <= room
    assert longest == pool.settings.context or pool.sequence_bytes(longest + 1) > room


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
