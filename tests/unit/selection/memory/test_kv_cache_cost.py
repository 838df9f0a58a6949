"""The context of a start, the cost of its cache, and the reports if it does not fit."""

from typing import Any

import pytest

from nim.errors import ProfileError
from nim.selection.explain_selection import explain
from nim.selection.select import Facts, select
from tests.unit.selection.machines import machine, made, wishing
from tests.unit.selection.models import GB, LLAMA_8B, SIZES, brought, facts

SLIDING = LLAMA_8B | {
    "model_type": "gemma3_text",
    "sliding_window": 1024,
    "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 5 + ["sliding_attention"] * 2,
    "rope_scaling": None,
}
LONGROPE = LLAMA_8B | {
    "original_max_position_embeddings": 4096,
    "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]},
}


def cache(config: dict[str, Any], gpus: str, **options: Any) -> float:
    found = brought(config, machine(gpus), wishing(**options), size=SIZES["8B"]).estimate
    assert found.need_bytes is not None
    assert found.least_bytes is not None
    return (found.need_bytes - found.least_bytes) / GB


@pytest.mark.parametrize(
    ("options", "gigabytes"),
    [
        ({}, 17.18),
        ({"max_model_len": 65536}, 8.59),
        ({"kv_cache_dtype": "fp8"}, 8.59),
        ({"kv_cache_dtype": "fp8_e5m2"}, 8.59),
        ({"kv_cache_dtype": "bfloat16"}, 17.18),
        ({"dtype": "float32"}, 34.36),
        ({"dtype": "float32", "kv_cache_dtype": "fp8"}, 8.59),
        ({"tensor_parallel_size": 8}, 17.18 / 8),
        ({"tensor_parallel_size": 4, "pipeline_parallel_size": 2}, 17.18 / 8),
        ({"tensor_parallel_size": 16, "decode_context_parallel_size": 2}, 17.18 / 16),
        ({"data_parallel_size": 8}, 17.18),
    ],
)
def test_cost_of_a_context_on_one_gpu(options: dict[str, Any], gigabytes: float) -> None:
    told = {"tensor_parallel_size": 1, **options}
    assert cache(LLAMA_8B, "16xH200", **told) == pytest.approx(gigabytes, rel=0.01)


def test_checkpoint_may_say_how_it_is_cached() -> None:
    stored = {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}
    config = LLAMA_8B | {"quantization_config": stored}
    assert cache(config, "1xH200") == pytest.approx(8.59, rel=0.01)
    assert cache(config, "1xH200", kv_cache_dtype="bfloat16") == pytest.approx(17.18, rel=0.01)


def test_profile_may_say_how_it_is_cached_and_a_person_otherwise() -> None:
    manifest = made("precision: bf16", more="    engine: {args: {kv-cache-dtype: fp8}}\n")
    known: Facts = {"hf://acme/rocket": facts(LLAMA_8B)}
    own = select(manifest, machine("1xH200"), wishing(), known).estimate
    told = select(manifest, machine("1xH200"), wishing(kv_cache_dtype="auto"), known).estimate
    assert (own.need_bytes or 0) - (own.least_bytes or 0) == pytest.approx(8.59e9, rel=0.01)
    assert (told.need_bytes or 0) - (told.least_bytes or 0) == pytest.approx(17.18e9, rel=0.01)


def test_layers_with_a_window_keep_little() -> None:
    assert cache(SLIDING, "1xH200", max_model_len=131072) < 0.3 * 17.18


def test_steps_of_more_tokens_hold_more_of_a_window_and_more_activations() -> None:
    small = brought(SLIDING, machine("1xH200"), wishing(max_num_batched_tokens=2048)).estimate
    large = brought(SLIDING, machine("1xH200"), wishing(max_num_batched_tokens=65536)).estimate
    assert large.workspace_bytes > 2 * small.workspace_bytes
    assert (large.need_bytes or 0) - (large.least_bytes or 0) > (small.need_bytes or 0) - (
        small.least_bytes or 0
    )


def test_no_graphs_where_there_are_none() -> None:
    eager = brought(LLAMA_8B, machine("1xH100"), wishing(enforce_eager=True)).estimate
    assert eager.workspace_bytes < brought(LLAMA_8B, machine("1xH100")).estimate.workspace_bytes


def test_context_is_what_the_engine_derives() -> None:
    assert brought(LONGROPE, machine("1xL4"), size=SIZES["8B"]).estimate.max_model_len == 4096
    assert brought(LLAMA_8B, machine("1xH100"), size=SIZES["8B"]).estimate.max_model_len == 131072


def test_context_that_does_not_go_in_names_the_one_that_does() -> None:
    with pytest.raises(ProfileError) as caught:
        brought(LLAMA_8B, machine("1xL4"), size=SIZES["8B"])
    hint = caught.value.hint or ""
    assert hint.startswith("NIM_MAX_MODEL_LEN=")
    length = int(hint.partition("=")[2])
    assert brought(LLAMA_8B, machine("1xL4"), wishing(max_model_len=length), size=SIZES["8B"]).warnings == ()
    with pytest.raises(ProfileError):
        brought(LLAMA_8B, machine("1xL4"), wishing(max_model_len=length + 1024), size=SIZES["8B"])


@pytest.mark.parametrize("told", [-1, "auto"])
def test_engine_takes_what_fits(told: object) -> None:
    selection = brought(LLAMA_8B, machine("1xL4"), wishing(max_model_len=told), size=SIZES["8B"])
    assert selection.winner.memory_fit.context is not None
    assert 20_000 < selection.winner.memory_fit.context < 40_000
    assert f"a context of about {selection.winner.memory_fit.context} tokens" in explain(selection)
    roomy = brought(LLAMA_8B, machine("1xH200"), wishing(max_model_len=told), size=SIZES["8B"])
    assert roomy.winner.memory_fit.context == 131072


def test_engine_that_takes_what_fits_needs_its_weights_all_the_same() -> None:
    with pytest.raises(ProfileError, match=r"found 14\.8 GB"):
        brought(LLAMA_8B, machine("1xT4"), wishing(max_model_len=-1), size=SIZES["8B"])


def test_cache_of_a_set_size_is_taken_beside_the_share() -> None:
    """`--kv-cache-memory-bytes` does not respect the share; what is free has to hold it."""
    wishes = wishing(kv_cache_memory_bytes=2 * GB, max_model_len=8192, gpu_memory_utilization=0.3)
    selection = brought(LLAMA_8B, machine("1xL4"), wishes, size=SIZES["8B"])
    assert selection.estimate.need_bytes == pytest.approx(16.06e9 + 4e9, rel=0.01)
    with pytest.raises(ProfileError, match=r"28\.\d GB"):
        brought(LLAMA_8B, machine("1xL4"), wishing(kv_cache_memory_bytes=10 * GB), size=SIZES["8B"])


def test_cache_of_a_set_size_has_to_hold_the_context() -> None:
    wishes = wishing(kv_cache_memory_bytes=2 * GB)
    with pytest.raises(ProfileError, match="of cache for a context of 131072 tokens") as caught:
        brought(LLAMA_8B, machine("1xH100"), wishes, size=SIZES["8B"])
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("NIM_MAX_MODEL_LEN=15")


def test_named_profile_starts_whatever_the_arithmetic_says() -> None:
    wishes = wishing("vllm-bf16-tp1-pp1", max_model_len=131072)
    (line,) = brought(LLAMA_8B, machine("1xL4"), wishes, size=SIZES["8B"]).warnings
    assert line.startswith("by estimate the profile needs 35.2 GB for a context of 131072 tokens")
    assert "NIM_MAX_MODEL_LEN=" in line
