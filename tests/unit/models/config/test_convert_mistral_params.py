"""Mistral's `params.json` against what the engine's own reader makes of it."""

from typing import Any

import pytest

from nim.models.config.convert_mistral_params import as_config
from nim.models.config.interpret_config import read_model
from nim.models.config.model_config import model_config
from nim.models.config.read_config_files import config_from
from nim.models.types import Experts, ModelReading

PARAMS: dict[str, Any] = {
    "dim": 4096,
    "n_layers": 32,
    "head_dim": 128,
    "hidden_dim": 14336,
    "n_heads": 32,
    "n_kv_heads": 8,
    "norm_eps": 1e-05,
    "vocab_size": 32768,
}


def read(**changes: Any) -> ModelReading:
    return read_model(config_from({"params.json": {**PARAMS, **changes}}))


def test_names_are_those_of_other_models() -> None:
    found = read()
    assert found.architecture == "MistralForCausalLM"
    assert (found.heads, found.kv_heads, found.head_size, found.hidden_size) == (32, 8, 128, 4096)
    assert found.layer_kinds == {"full": 32}


def test_length_is_that_of_the_file_beside_it() -> None:
    files = {"params.json": PARAMS, "config.json": {"max_position_embeddings": 32768}}
    found = read_model(config_from(files, mistral=True))
    assert found.context is not None
    assert found.context.tokens == 32768


def test_length_without_another_file_is_the_engine_s() -> None:
    found = read()
    assert found.context is not None
    assert found.context.tokens == 128_000


def test_windows_may_follow_a_pattern() -> None:
    assert read(sliding_window=4096).layer_kinds == {"sliding window": 32}
    found = read(sliding_window=[4096, 4096, 4096, None])
    assert found.layer_kinds == {"sliding window": 24, "full": 8}


def test_experts_make_it_a_mixture() -> None:
    found = read(moe={"num_experts": 8, "num_experts_per_tok": 2})
    assert found.architecture == "MixtralForCausalLM"
    assert found.experts == Experts(count=8, per_token=2)


def test_shared_experts_make_it_a_large_model_with_latent_attention() -> None:
    latent = {"q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64}
    found = read(v_head_dim=128, moe={"num_experts": 128, "num_shared_experts": 1}, **latent)
    assert found.architecture == "MistralLarge3ForCausalLM"
    assert found.layer_kinds == {"mla": 32}


@pytest.mark.parametrize(
    ("scheme", "static"), [("NO_SCALES", "dynamic"), ("TENSOR", "static"), (None, "static")]
)
def test_weights_in_8_bits(scheme: str | None, static: str) -> None:
    quantization = {"qformat_weight": "fp8_e4m3", "qscheme_act": scheme}
    found = as_config({**PARAMS, "quantization": quantization})
    assert found["quantization_config"]["activation_scheme"] == static
    reading = read_model(model_config(found))
    assert reading.quantization is not None
    assert (reading.quantization.method, reading.precision) == ("fp8", "fp8")


@pytest.mark.parametrize(
    ("changes", "architecture", "modality"),
    [
        ({"vision_encoder": {"hidden_size": 1024}}, "PixtralForConditionalGeneration", "image"),
        (
            {"multimodal": {"whisper_model_args": {"encoder_args": {}}}},
            "VoxtralForConditionalGeneration",
            "audio",
        ),
        (
            {"multimodal": {"whisper_model_args": {"encoder_args": {"causal": True}}}},
            "VoxtralRealtimeGeneration",
            "audio",
        ),
    ],
)
def test_encoders_make_it_one_part_of_a_model(
    changes: dict[str, Any], architecture: str, modality: str
) -> None:
    found = read(**changes)
    assert found.architecture == architecture
    assert found.modalities == ("text", modality)
    assert found.heads == 32
