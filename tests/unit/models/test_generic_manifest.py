"""The generic profiles of a model without a manifest."""

from collections.abc import Mapping
from typing import Any

import pytest

from nim.manifest.find_problems import manifest_problems
from nim.manifest.types import KvCache
from nim.models.config.model_config import model_config
from nim.models.facts import ModelFacts, facts_of
from nim.models.generic_manifest import manifest_for_model

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "torch_dtype": "bfloat16",
}


def facts(config: Mapping[str, Any]) -> ModelFacts:
    return facts_of(model_config(config))


def test_plain_model_is_described() -> None:
    manifest = manifest_for_model("/models/rocket", facts(LLAMA))
    assert manifest.model is not None
    assert {profile.precision for profile in manifest.profiles} == {"bf16"}
    assert manifest.model.max_model_len == 131072
    assert manifest.model.kv_cache == KvCache(layers=32, heads=8, head_dim=128)


def test_quantization_beside_the_configuration_is_read() -> None:
    beside = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}
    manifest = manifest_for_model("/models/rocket", facts_of(model_config(LLAMA, hf_quant_config=beside)))
    assert {profile.precision for profile in manifest.profiles} == {"nvfp4"}


@pytest.mark.parametrize(
    "unusual",
    [
        {"model_type": "deepseek_v3", "kv_lora_rank": 512},
        {"model_type": "nemotron_h", "hybrid_override_pattern": "M-M*"},
        {"num_hidden_layers": "many"},
        {"layer_types": ["sliding_attention", "full_attention"] * 16, "sliding_window": 1024},
    ],
)
def test_cache_of_unlike_layers_is_not_in_the_manifest(unusual: dict[str, object]) -> None:
    model = manifest_for_model("/models/rocket", facts({**LLAMA, **unusual})).model
    assert model is not None
    assert model.kv_cache is None


def test_profiles_for_gpus_and_cpu() -> None:
    manifest = manifest_for_model("/models/rocket", facts(LLAMA), weights_bytes=16_060_000_000)
    labels = [profile.label for profile in manifest.profiles if not profile.lora]
    assert labels == [
        "vllm-bf16-tp1-pp1",
        "vllm-bf16-tp2-pp1",
        "vllm-bf16-tp4-pp1",
        "vllm-bf16-tp8-pp1",
        "vllm-bf16-tp16-pp1",
        "vllm-cpu-bf16-tp1-pp1",
    ]
    assert {profile.weights_gb for profile in manifest.profiles} == {16.06}
    assert all(profile.source == "/models/rocket" for profile in manifest.profiles)
    assert all(profile.engine.args == {"enable-lora": True} for profile in manifest.profiles if profile.lora)
    assert manifest_problems(manifest) == ()


@pytest.mark.parametrize(
    ("heads", "kv_heads", "sizes"),
    [
        (14, 2, {1, 2}),
        (40, 10, {1, 2}),
        (32, 8, {1, 2, 4, 8, 16}),
        (32, 2, {1, 2, 4, 8, 16}),
        (24, 3, {1}),
    ],
)
def test_only_sizes_that_share_out_the_heads_are_offered(heads: int, kv_heads: int, sizes: set[int]) -> None:
    config = {**LLAMA, "num_attention_heads": heads, "num_key_value_heads": kv_heads}
    manifest = manifest_for_model("/models/rocket", facts(config))
    assert {profile.tensor_parallel_size for profile in manifest.profiles} == sizes


def test_profiles_with_lora_are_for_models_that_have_it() -> None:
    assert any(profile.lora for profile in manifest_for_model("/models/rocket", facts(LLAMA)).profiles)
    without = manifest_for_model("/models/rocket", facts(LLAMA), adapters=False)
    assert without.profiles
    assert not any(profile.lora for profile in without.profiles)


def test_sizes_that_are_asked_for_are_offered() -> None:
    manifest = manifest_for_model("hf://acme/rocket", tensor_parallel_size=3, pipeline_parallel_size=2)
    sizes = {(p.tensor_parallel_size, p.pipeline_parallel_size) for p in manifest.profiles}
    assert {(3, 1), (3, 2), (1, 2)} <= sizes
    assert manifest.name == "acme/rocket"
    assert {profile.precision for profile in manifest.profiles} == {None}


WIDTHS = {"intermediate_size": 14336, "vocab_size": 128256, "head_dim": 128}


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        (WIDTHS, {1, 2, 4, 8, 16}),
        ({**WIDTHS, "num_attention_heads": 24, "num_key_value_heads": 24, "hidden_size": 3072}, {1, 2, 4, 8}),
        (
            {**WIDTHS, "num_attention_heads": 24, "num_key_value_heads": 12, "intermediate_size": 12288},
            {1, 2, 3},
        ),
        ({**WIDTHS, "num_attention_heads": 40, "num_key_value_heads": 10, "hidden_size": 5120}, {1, 2}),
    ],
)
def test_every_width_has_to_divide(config: dict[str, Any], sizes: set[int]) -> None:
    """Sizes other than powers of two among them, where the heads, the layers and the vocabulary allow it."""
    manifest = manifest_for_model("/models/rocket", facts({**LLAMA, **config}))
    assert sizes <= {profile.tensor_parallel_size for profile in manifest.profiles}
    assert all(_divides({**LLAMA, **config}, p.tensor_parallel_size) for p in manifest.profiles)


def _divides(config: Mapping[str, Any], size: int) -> bool:
    kv, vocabulary = config["num_key_value_heads"], -(-config["vocab_size"] // 64) * 64
    shared = kv % size == 0 or size % kv == 0
    return shared and not any(
        width % size for width in (config["num_attention_heads"], config["intermediate_size"], vocabulary)
    )
