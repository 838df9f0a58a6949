"""Number formats on GPUs without arithmetic for them: run with a note, or refused as by the engine."""

from typing import Any

import pytest

from nim.errors import ProfileError
from nim.selection.effective_options import options_of
from nim.selection.gpu_precision_support import served_dtype
from tests.unit.selection.machines import machine, made, wishing
from tests.unit.selection.models import LLAMA_8B, brought, facts

GEMMA = LLAMA_8B | {"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"]}
SMALL = 2_000_000_000
SHORT: dict[str, Any] = {"max_model_len": 4096}


def quantized(method: str, **more: Any) -> dict[str, Any]:
    return {**LLAMA_8B, "quantization_config": {"quant_method": method, **more}}


FP8 = quantized("fp8", activation_scheme="dynamic")
NVFP4 = quantized("modelopt", quant_algo="NVFP4")


@pytest.mark.parametrize(
    ("config", "gpus", "words"),
    [
        (FP8, "1xA100", "the weights stay in FP8, and Marlin kernels calculate in 16 bits"),
        (FP8, "1xT4", "the weights stay in FP8"),
        (FP8, "1xH100", None),
        (NVFP4, "1xH100", "the weights stay in NVFP4"),
        (NVFP4, "1xB200", None),
        (LLAMA_8B, "1xT4", "vLLM serves it in float16 instead"),
        (LLAMA_8B, "1xL4", None),
        (LLAMA_8B | {"torch_dtype": "float16"}, "1xT4", None),
    ],
)
def test_engine_gets_by_without(config: dict[str, Any], gpus: str, words: str | None) -> None:
    selection = brought(config, machine(gpus), wishing(**SHORT), size=SMALL)
    assert [warning for warning in selection.warnings if words and words in warning] == list(
        selection.warnings
    )
    assert bool(selection.warnings) == (words is not None)


@pytest.mark.parametrize(
    ("config", "gpus", "options", "needed"),
    [
        (LLAMA_8B, "1xT4", {"dtype": "bfloat16"}, "compute capability 8.0 for --dtype bfloat16"),
        (LLAMA_8B, "1xT4", {"quantization": "mxfp8"}, "compute capability 8.0 for mxfp8"),
        (LLAMA_8B, "1xT4", {"kv_cache_dtype": "fp8"}, "8.0 for a cache in fp8"),
        (quantized("mxfp4"), "1xT4", {}, "compute capability 8.0 for mxfp4"),
        (FP8, "1xV100", {}, "compute capability 7.5 for fp8"),
    ],
)
def test_what_the_engine_refuses(
    config: dict[str, Any], gpus: str, options: dict[str, Any], needed: str
) -> None:
    with pytest.raises(ProfileError, match=needed):
        brought(config, machine(gpus), wishing(**SHORT, **options), size=SMALL)


def test_cache_that_the_checkpoint_has_in_fp8_needs_its_kernels_too() -> None:
    eight_bits = {"num_bits": 8, "type": "float"}
    config = quantized(
        "compressed-tensors",
        format="float-quantized",
        config_groups={"group_0": {"weights": eight_bits, "targets": ["Linear"]}},
        kv_cache_scheme=eight_bits,
    )
    with pytest.raises(ProfileError, match="a cache in fp8"):
        brought(config, machine("1xT4"), wishing(**SHORT), size=SMALL)
    told = brought(config, machine("1xT4"), wishing(kv_cache_dtype="float16", **SHORT), size=SMALL)
    assert "the weights stay in FP8" in told.warnings[0]


@pytest.mark.parametrize("dtype", ["half", "float16"])
def test_configured_type_needs_no_fallback(dtype: str) -> None:
    assert brought(LLAMA_8B, machine("1xT4"), wishing(dtype=dtype, **SHORT), size=SMALL).warnings == ()


@pytest.mark.parametrize(
    ("config", "gpus", "told", "served"),
    [
        (LLAMA_8B, "1xH100", {}, "bfloat16"),
        (LLAMA_8B | {"torch_dtype": "float32"}, "1xH100", {}, "bfloat16"),
        (LLAMA_8B | {"torch_dtype": "float16"}, "1xH100", {}, "float16"),
        (LLAMA_8B, "1xT4", {}, "float16"),
        (GEMMA, "1xT4", {}, "float32"),
        (LLAMA_8B, "1xH100", {"dtype": "float"}, "float32"),
    ],
)
def test_type_the_engine_serves_in(
    config: dict[str, Any], gpus: str, told: dict[str, Any], served: str
) -> None:
    options = options_of(made("precision: bf16").profiles[0], wishing(**told).options)
    assert served_dtype(options, facts(config).reading, machine(gpus).gpus[0]) == served


def test_sparse_attention_needs_its_kernels() -> None:
    sparse = LLAMA_8B | {
        "architectures": ["DeepseekV32ForCausalLM"],
        "model_type": "deepseek_v32",
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128,
        "v_head_dim": 128,
        "index_head_dim": 128,
        "index_n_heads": 64,
        "index_topk": 2048,
    }
    with pytest.raises(ProfileError, match=r"compute capability 9\.0 for sparse latent attention"):
        brought(sparse, machine("1xA100"), wishing(**SHORT), size=SMALL)
    assert brought(sparse, machine("1xH100"), wishing(**SHORT), size=SMALL).devices


def test_method_may_need_more_than_its_precision() -> None:
    config = quantized("modelopt", quant_algo="FP8")
    with pytest.raises(ProfileError, match=r"compute capability 8\.0 for fp8 by modelopt"):
        brought(config, machine("1xT4"), wishing(**SHORT), size=SMALL)


def test_native_formats_rank_before_unpacked_ones() -> None:
    """Of a manifest with both, an A100 takes BF16 and an H100 FP8."""
    from nim.selection.select import select

    manifest = made("precision: fp8", "precision: bf16")
    assert select(manifest, machine("1xA100"), wishing()).chosen.label == "vllm-bf16-tp1-pp1"
    assert select(manifest, machine("1xH100"), wishing()).chosen.label == "vllm-fp8-tp1-pp1"


def test_emulated_profile_by_name_runs_with_a_word() -> None:
    from nim.selection.select import select

    manifest = made("precision: nvfp4", "precision: bf16")
    named = select(manifest, machine("1xH100"), wishing("vllm-nvfp4-tp1-pp1"))
    assert any("the weights stay in NVFP4" in warning for warning in named.warnings)
