"""Whole readings: what no single module decides."""

from typing import Any

import pytest

from nim.models.types import Experts, ModelReading
from tests.unit.models.models import DEEPSEEK_V3, FAMILIES, GEMMA3, LLAMA, reading


def test_nothing_is_known_of_an_empty_configuration() -> None:
    assert reading({}) == ModelReading()


def test_hidden_size_and_vocabulary_are_the_language_part_s() -> None:
    found = reading(GEMMA3)
    assert found.model_type == "gemma3"
    assert found.text_model_type == "gemma3_text"
    assert (found.hidden_size, found.vocab_size) == (5376, 262_208)


@pytest.mark.parametrize(
    ("config", "experts"),
    [
        (LLAMA, None),
        (DEEPSEEK_V3, Experts(count=256, per_token=8)),
        ({"model_type": "mixtral"}, Experts(count=8, per_token=2)),
        ({"model_type": "gpt_oss", "num_local_experts": 32}, Experts(count=32, per_token=4)),
        ({**LLAMA, "model_type": "of tomorrow", "num_experts": [8, 16]}, Experts(count=16)),
        ({**LLAMA, "num_experts": 0}, None),
        ({**LLAMA, "num_experts": [8, "a"]}, Experts(count=8)),
        ({**LLAMA, "num_experts": [[[]]]}, None),
    ],
)
def test_experts(config: dict[str, Any], experts: Experts | None) -> None:
    assert reading(config).experts == experts


@pytest.mark.parametrize(
    ("changes", "dtype", "precision"),
    [
        ({}, "bfloat16", "bf16"),
        ({"torch_dtype": "torch.float16"}, "float16", "fp16"),
        ({"torch_dtype": None, "dtype": "float16"}, "float16", "fp16"),
        ({"torch_dtype": "float32"}, "float32", "bf16"),  # served in 16 bits
        ({"torch_dtype": None}, None, None),
        ({"torch_dtype": None, "vision_config": {"torch_dtype": "bfloat16"}}, "bfloat16", "bf16"),
    ],
)
def test_data_type(changes: dict[str, Any], dtype: str | None, precision: str | None) -> None:
    found = reading(LLAMA, **changes)
    assert (found.dtype, found.precision) == (dtype, precision)


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_every_family_is_read_whole(config: dict[str, Any]) -> None:
    found = reading(config)
    assert found.architecture == config["architectures"][0]
    for name in ("heads", "kv_heads", "head_size", "hidden_size", "layers", "context", "precision"):
        assert getattr(found, name) is not None, name


@pytest.mark.parametrize(
    "value",
    ["many", None, [], {}, True, -1.5, {"a": []}],
    ids=["text", "null", "list", "object", "flag", "part", "deep"],
)
@pytest.mark.parametrize("name", sorted({name for config in FAMILIES.values() for name in config}))
def test_values_of_other_kinds_are_unknown_and_never_an_error(name: str, value: Any) -> None:
    for config in FAMILIES.values():
        reading(config, **{name: value})
