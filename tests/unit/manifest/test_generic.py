"""A model without a manifest gets the profiles that any model can be tried with."""

import pytest

from nim.manifest import manifest_for_model
from nim.manifest.architecture import read_architecture
from nim.manifest.check import check_manifest
from nim.manifest.types import KvCache

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "torch_dtype": "bfloat16",
}


def test_plain_model_is_described() -> None:
    found = read_architecture(LLAMA)
    assert found.precision == "bf16"
    assert found.max_model_len == 131072
    assert found.kv_cache == KvCache(layers=32, heads=8, head_dim=128)


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        ({"dtype": "float16"}, "fp16"),
        ({"torch_dtype": "float32"}, "bf16"),
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "mxfp4"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "nvfp4"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}}, "fp8"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "int4"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, "int8"),
        ({"quantization_config": {"quant_method": "compressed-tensors", "format": "int-quantized"}}, "int8"),
        (
            {"quantization_config": {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}},
            "nvfp4",
        ),
        ({"quantization_config": {"quant_method": "of tomorrow"}}, None),
        ({"text_config": {"dtype": "bfloat16"}}, "bf16"),
        ({"torch_dtype": None}, None),
        ({}, None),
    ],
)
def test_precision_is_read_or_unknown(config: dict[str, object], precision: str | None) -> None:
    assert read_architecture(config).precision == precision


@pytest.mark.parametrize(
    "unusual",
    [
        {"kv_lora_rank": 512},
        {"hybrid_override_pattern": "M-M*"},
        {"num_hidden_layers": "many"},
        {"hidden_size": 4097},
    ],
)
def test_unusual_cache_is_unknown(unusual: dict[str, object]) -> None:
    assert read_architecture({**LLAMA, **unusual}).kv_cache is None


def test_only_layers_that_see_everything_count() -> None:
    kinds = ["sliding_attention", "full_attention"] * 16
    cache = read_architecture({**LLAMA, "layer_types": kinds}).kv_cache
    assert cache == KvCache(layers=16, heads=8, head_dim=128)


def test_stretched_context_is_unknown() -> None:
    stretched = {**LLAMA, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}
    assert read_architecture(stretched).max_model_len is None


def test_profiles_for_gpus_and_cpu() -> None:
    manifest = manifest_for_model("/models/rocket", LLAMA, weights_bytes=16_060_000_000)
    labels = [profile.label for profile in manifest.profiles if not profile.lora]
    assert labels == [
        "vllm-bf16-tp1-pp1",
        "vllm-bf16-tp2-pp1",
        "vllm-bf16-tp4-pp1",
        "vllm-bf16-tp8-pp1",
        "vllm-cpu-bf16-tp1-pp1",
    ]
    assert {profile.weights_gb for profile in manifest.profiles} == {16.06}
    assert all(profile.source == "/models/rocket" for profile in manifest.profiles)
    assert all(profile.engine.args == {"enable-lora": True} for profile in manifest.profiles if profile.lora)
    assert check_manifest(manifest) == ()


def test_only_sizes_that_divide_the_heads_are_offered() -> None:
    manifest = manifest_for_model("/models/rocket", {**LLAMA, "num_attention_heads": 14})
    assert {profile.tensor_parallel_size for profile in manifest.profiles} == {1, 2}


def test_sizes_that_are_asked_for_are_offered() -> None:
    manifest = manifest_for_model("hf://acme/rocket", tensor_parallel_size=3, pipeline_parallel_size=2)
    sizes = {(p.tensor_parallel_size, p.pipeline_parallel_size) for p in manifest.profiles}
    assert {(3, 1), (3, 2), (1, 2)} <= sizes
    assert manifest.name == "acme/rocket"
    assert {profile.precision for profile in manifest.profiles} == {None}
