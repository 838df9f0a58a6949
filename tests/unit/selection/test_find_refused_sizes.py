"""Sizes and contexts that the engine refuses, requested or from a profile."""

from typing import Any

import pytest

from nim.errors import ProfileError
from nim.selection.explain_rejected_profiles import NoProfileFits
from nim.selection.select import Facts, select
from tests.unit.selection.machines import machine, made, wishing
from tests.unit.selection.models import LLAMA_8B, LLAMA_70B, SIZES, brought, facts

PHI = LLAMA_8B | {
    "hidden_size": 5120,
    "intermediate_size": 17920,
    "num_attention_heads": 40,
    "num_key_value_heads": 10,
    "vocab_size": 100352,
}
LATENT = LLAMA_8B | {"model_type": "deepseek_v3", "kv_lora_rank": 512, "qk_rope_head_dim": 64}
PHI_BYTES = 29_300_000_000


def refused(config: dict[str, Any], gpus: str, size: int | None = None, **options: Any) -> NoProfileFits:
    with pytest.raises(NoProfileFits) as caught:
        brought(config, machine(gpus), wishing(**options), size=size)
    return caught.value


def test_requested_size_is_refused_with_working_sizes() -> None:
    error = refused(LLAMA_70B, "6xL40S", SIZES["70B"], tensor_parallel_size=6)
    assert error.message == (
        "cannot run /models/rocket with tp6 (NIM_TENSOR_PARALLEL_SIZE): "
        "64 attention heads cannot be split over 6 GPUs: 1, 2, 4, 8 or 16 can"
    )
    pairs = "NIM_TENSOR_PARALLEL_SIZE=2 with NIM_PIPELINE_PARALLEL_SIZE=3"
    assert error.hint == f"NIM_TENSOR_PARALLEL_SIZE=4, or {pairs}"


@pytest.mark.parametrize(
    ("config", "gpus", "size", "words", "hint"),
    [
        (PHI, "3xL40S", 3, "40 attention heads cannot be split over 3 GPUs", "NIM_TENSOR_PARALLEL_SIZE=2"),
        (PHI, "4xL40S", 4, "10 KV heads cannot be split over 4 GPUs", "NIM_TENSOR_PARALLEL_SIZE=2"),
        (LLAMA_8B, "3xL4", 3, "32 attention heads cannot be split over 3 GPUs", "NIM_TENSOR_PARALLEL_SIZE=2"),
        (LLAMA_8B, "5xL4", 5, "32 attention heads", "NIM_TENSOR_PARALLEL_SIZE=4"),
    ],
)
def test_sizes_of_other_models(config: dict[str, Any], gpus: str, size: int, words: str, hint: str) -> None:
    error = refused(config, gpus, tensor_parallel_size=size)
    assert words in error.message
    assert error.hint is not None
    assert error.hint.startswith(hint)


def test_what_would_not_hold_the_weights_is_not_suggested() -> None:
    error = refused(LLAMA_70B, "6xL4", SIZES["70B"], tensor_parallel_size=6)
    assert error.hint == "NIM_TENSOR_PARALLEL_SIZE=2 with NIM_PIPELINE_PARALLEL_SIZE=3"


@pytest.mark.parametrize(("config", "size"), [(PHI, PHI_BYTES), (LLAMA_8B, SIZES["8B"])])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7, 8, 12, 16])
def test_largest_size_that_divides_is_chosen(config: dict[str, Any], size: int, count: int) -> None:
    chosen = brought(config, machine(f"{count}xH100"), size=size).winner.parallel.tensor
    allowed = [1, 2] if config is PHI else [1, 2, 4, 8, 16]
    assert chosen == max(size for size in allowed if size <= count)


def test_profile_by_name_that_cannot_be_split_is_refused() -> None:
    """What the engine is certain to refuse, a name does not change."""
    wishes = wishing("vllm-bf16-tp1-pp1", tensor_parallel_size=4)
    with pytest.raises(ProfileError, match="10 KV heads cannot be split over 4 GPUs"):
        brought(PHI, machine("4xH100"), wishes)


def test_profile_of_a_manifest_is_checked_where_the_files_are_at_hand() -> None:
    manifest = made('precision: bf16, tp: "4"', 'precision: bf16, tp: "2"')
    known: Facts = {"hf://acme/rocket": facts(PHI)}
    assert select(manifest, machine("4xH100"), wishing()).chosen.label == "vllm-bf16-tp4-pp1"
    selection = select(manifest, machine("4xH100"), wishing(), known)
    assert selection.chosen.label == "vllm-bf16-tp2-pp1"
    assert "tp4: 10 KV heads cannot be split over 4 GPUs" in selection.refused[0].found


def test_model_that_is_not_known_is_not_refused() -> None:
    manifest = made('precision: bf16, tp: "3"')
    assert select(manifest, machine("3xH100"), wishing()).chosen.label == "vllm-bf16-tp3-pp1"


@pytest.mark.parametrize(
    ("config", "options", "words", "hint"),
    [
        (
            LLAMA_8B,
            {"tensor_parallel_size": 3, "pipeline_parallel_size": 2},
            "32 attention heads cannot be split over 3 GPUs",
            "NIM_TENSOR_PARALLEL_SIZE=2, or NIM_TENSOR_PARALLEL_SIZE=2 with NIM_PIPELINE_PARALLEL_SIZE=3",
        ),
        (
            LLAMA_8B | {"num_hidden_layers": 2},
            {"tensor_parallel_size": 1, "pipeline_parallel_size": 3},
            "2 layers cannot fill 3 pipeline stages",
            "NIM_TENSOR_PARALLEL_SIZE=4 with NIM_PIPELINE_PARALLEL_SIZE=1",
        ),
        (
            LLAMA_8B | {"architectures": ["Gemma3nForConditionalGeneration"]},
            {"pipeline_parallel_size": 2},
            "cannot run in pipeline stages",
            "NIM_TENSOR_PARALLEL_SIZE=4 with NIM_PIPELINE_PARALLEL_SIZE=1",
        ),
        (
            LLAMA_8B,
            {"data_parallel_size": 2, "enable_expert_parallel": True},
            "it has no experts",
            None,
        ),
    ],
)
def test_stages_and_experts(
    config: dict[str, Any], options: dict[str, Any], words: str, hint: str | None
) -> None:
    error = refused(config, "6xH100", **options)
    assert words in error.message
    assert error.hint == hint


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        (
            LLAMA_8B,
            {"tensor_parallel_size": 8},
            "tp8 has 1 of each of 8",
        ),
        (LLAMA_8B, {"tensor_parallel_size": 1}, "2 does not divide the tensor-parallel size 1"),
        (LLAMA_8B | {"num_key_value_heads": 2}, {"tensor_parallel_size": 8}, None),
        (LATENT, {"tensor_parallel_size": 8}, None),
    ],
)
def test_ranks_that_share_a_context(
    config: dict[str, Any], options: dict[str, Any], words: str | None
) -> None:
    told = {"decode_context_parallel_size": 2, "max_model_len": 8192, **options}
    if words:
        assert words in refused(config, "8xH100", **told).message
    else:
        assert len(brought(config, machine("8xH100"), wishing(**told)).devices) == 8


@pytest.mark.parametrize(
    ("config", "asked", "limit"),
    [
        (LLAMA_8B, 200_000, 131_072),
        (LLAMA_8B | {"max_position_embeddings": 8192, "rope_scaling": None}, 8193, 8192),
        (
            LLAMA_8B
            | {
                "max_position_embeddings": 131072,
                "original_max_position_embeddings": 4096,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]},
            },
            131_073,
            131_072,
        ),
    ],
)
def test_context_above_what_the_engine_takes(config: dict[str, Any], asked: int, limit: int) -> None:
    error = refused(config, "1xH200", max_model_len=asked)
    assert f"with a context of {asked} tokens (NIM_MAX_MODEL_LEN)" in error.message
    assert f"the engine takes at most {limit} tokens" in error.message
    assert error.hint == f"NIM_MAX_MODEL_LEN={limit}"
    assert brought(config, machine("1xH200"), wishing(max_model_len=limit)).warnings == ()


@pytest.mark.parametrize(("told", "fits"), [("1", True), ("true", True), ("0", False)])
def test_engine_option_allows_the_longer_context(told: str, fits: bool) -> None:
    wishes = wishing(max_model_len=200_000, VLLM_ALLOW_LONG_MAX_MODEL_LEN=told)
    if fits:
        assert brought(LLAMA_8B, machine("1xH200"), wishes).estimate.max_model_len == 200_000
    else:
        with pytest.raises(ProfileError, match="at most 131072"):
            brought(LLAMA_8B, machine("1xH200"), wishes)


def test_configuration_may_be_overridden() -> None:
    """`--hf-overrides` is how a context is stretched by YaRN."""
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    config = LLAMA_8B | {"max_position_embeddings": 32768, "rope_scaling": None}
    stretched = {"rope_scaling": scaling, "max_position_embeddings": 131072}
    with pytest.raises(ProfileError, match="at most 32768"):
        brought(config, machine("1xH200"), wishing(max_model_len=131072))
    told = wishing(max_model_len=131072, hf_overrides=stretched)
    assert brought(config, machine("1xH200"), told).estimate.max_model_len == 131072


def test_size_that_needs_more_gpus_is_refused_for_want_of_them() -> None:
    """The profile of that size comes first, not others that would run without the wish."""
    error = refused(LLAMA_70B, "4xH100", SIZES["70B"], tensor_parallel_size=8)
    assert error.refused[0].label == "vllm-bf16-tp8-pp1"
    assert (error.refused[0].needed, error.refused[0].found) == ("8 GPUs", "4 GPUs")
    assert error.hint == "docker run --gpus 8"
