from typing import Any

import pytest

from nim.engine.check_names_against_catalog import (
    check_named_values,
    refuse,
    transformers_note,
    unknown_architecture,
    unknown_quantization,
)
from nim.engine.supported_names_catalog import load_catalog
from nim.errors import SettingsError, WeightsError
from nim.value_origins import Layer, Origin, Value

CATALOG = load_catalog()
PLACE = "config.json"


def config(**values: Any) -> dict[str, Value]:
    origin = Origin(layer=Layer.ENV, place="NIM_SOMETHING")
    return {name: Value(value=value, origin=origin) for name, value in values.items()}


@pytest.mark.parametrize(
    ("architecture", "message", "hint"),
    [
        ("MptForCausalLM", "no longer has it (last in 0.28.0)", "pip install vllm==0.28.0"),
        ("DiffusionLLaDA2", "does not know it", ""),
        ("LlamaForCasualLM", "does not know it", '{"architectures": ["LlamaForCausalLM"]}'),
    ],
)
def test_an_unknown_architecture(architecture: str, message: str, hint: str) -> None:
    refusal = unknown_architecture([architecture], CATALOG, place=PLACE)
    assert refusal is not None
    assert refusal.message.startswith(f'cannot load the architecture "{architecture}" (config.json): vLLM 0.')
    assert message in refusal.message
    assert hint in (refusal.hint or "")


def test_another_model_with_a_similar_ending_is_not_suggested() -> None:
    refusal = unknown_architecture(["DebertaV2ForSequenceClassification"], CATALOG, place=PLACE)
    assert refusal is not None
    assert refusal.allowed == ()


def test_an_architecture_that_a_later_release_has() -> None:
    later = next(name for name, row in CATALOG.history["architectures"].items() if "first" in row)
    refusal = unknown_architecture([later], CATALOG, place=PLACE)
    assert refusal is not None
    assert "does not have it yet" in refusal.message


@pytest.mark.parametrize("model_impl", ["auto", "vllm", "transformers"])
def test_a_known_architecture(model_impl: str) -> None:
    for known in (["LlamaForCausalLM"], []):
        assert unknown_architecture(known, CATALOG, place=PLACE, model_impl=model_impl) is None


def test_a_model_s_own_code() -> None:
    refusal = unknown_architecture(["MyModel"], CATALOG, place=PLACE, remote_code=True)
    assert refusal is not None
    assert refusal.hint == "--trust-remote-code"
    assert unknown_architecture(["MyModel"], CATALOG, place=PLACE, remote_code=True, trusted=True) is None


def test_an_implementation_that_is_asked_for() -> None:
    def hint_for(name: str) -> str | None:
        refusal = unknown_architecture([name], CATALOG, place=PLACE, model_impl="vllm")
        return refusal.hint if refusal else None

    assert hint_for("ElectraForCausalLM") == "--model-impl auto"
    assert hint_for("BambaForCausalLM") == "pip install vllm==0.23.0"
    assert (hint_for("BartModel") or "").startswith("pip install git+https://")


@pytest.mark.parametrize(
    ("architecture", "note"),
    [
        ("LlamaForCausalLM", None),
        ("SmolLM3ForCausalLM", None),  # the engine itself names it as one for Transformers
        ("LlamaForSequenceClassification", None),
        ("NoSuchModel", None),
        ("ElectraForCausalLM", "while it loads"),
        ("BambaForCausalLM", "pip install vllm==0.23.0 has one"),
        ("BartForConditionalGeneration", "bart-plugin has one"),
    ],
)
def test_the_implementation_of_transformers_is_named(architecture: str, note: str | None) -> None:
    found = transformers_note([architecture], CATALOG)
    assert (found is None) if note is None else (found or "").endswith(note)


@pytest.mark.parametrize(
    ("quant_method", "asked", "message", "hint"),
    [
        ("bitsandbytes", None, "no longer has it (last in 0.27.1)", "--quantization fp8"),
        ("bitsandbytes_4bit", None, "no longer has it (last in 0.27.1)", "--quantization fp8"),
        ("gtpq", None, 'has no such method; the nearest is "gptq"', "compressed-tensors"),
        ("gptq", "awq", "--quantization awq is another method", "leave out --quantization"),
        ("fbgemm_fp8", None, "about to drop it", "--allow-deprecated-quantization"),
    ],
)
def test_an_unknown_quantization(quant_method: str, asked: str | None, message: str, hint: str) -> None:
    refusal = unknown_quantization(quant_method, CATALOG, place=PLACE, asked=asked)
    assert refusal is not None
    assert refusal.message.startswith(f'cannot load weights quantized by "{quant_method}" (config.json): ')
    assert message in refusal.message
    assert hint in (refusal.hint or "")


def test_a_known_quantization() -> None:
    for method in ("gptq", "awq", "fp8", "compressed-tensors", "modelopt", "auto-round", "torchao"):
        assert unknown_quantization(method, CATALOG, place=PLACE) is None
    assert unknown_quantization("fbgemm_fp8", CATALOG, place=PLACE, allow_deprecated=True) is None
    assert unknown_quantization("mxfp4", CATALOG, place=PLACE, detail="gpt_oss", asked="mxfp4") is None


def test_refusing() -> None:
    refusal = unknown_quantization("aqlm", CATALOG, place=PLACE)
    with pytest.raises(WeightsError, match="aqlm") as error:
        refuse(refusal)
    assert "NIM_STRICT_ARGS=0" in (error.value.hint or "")
    (warning,) = refuse(refusal, strict=False)
    assert "NIM_STRICT_ARGS" not in warning
    assert refuse(None) == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tool_call_parser": "llama3", "enable_auto_tool_choice": True}, "no such tool call parser"),
        (
            {"tool_call_parser": "minimax", "enable_auto_tool_choice": True},
            "no longer has it (last in 0.23.0)",
        ),
        ({"reasoning_parser": "deepseekr1"}, "no such reasoning parser"),
        ({"reasoning_parser": "step5"}, "does not have it yet (0.33.0 does)"),
        ({"quantization": "bitsandbytes"}, "no longer has it (last in 0.27.1)"),
        ({"load_format": "gguf"}, "no longer has it (last in 0.23.0)"),
        ({"attention_backend": "flash"}, "no such attention backend"),
    ],
)
def test_values_of_options(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        check_named_values(config(**values), CATALOG)
    text = next(iter(values.values()))
    assert f'cannot use "{text}"' in str(error.value)
    assert "NIM_SOMETHING" in error.value.message
    assert message in error.value.message
    (warning,) = check_named_values(config(**values), CATALOG, strict=False)
    assert message in warning


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"tool_call_parser": None, "reasoning_parser": "", "quantization": None},
        {"tool_call_parser": "hermes", "enable_auto_tool_choice": True},
        {"tool_call_parser": "mine", "enable_auto_tool_choice": True, "tool_parser_plugin": "/mine.py"},
        {"reasoning_parser": "mine", "reasoning_parser_plugin": "/mine.py"},
        {"attention_backend": "flash_attn"},
        {"attention_backend": "auto"},
    ],
)
def test_values_that_pass(values: dict[str, Any]) -> None:
    assert check_named_values(config(**values), CATALOG) == ()


def test_a_parser_that_is_not_used_is_a_warning() -> None:
    """vLLM looks at it only with --enable-auto-tool-choice."""
    for values in ({}, {"enable_auto_tool_choice": False}):
        (warning,) = check_named_values(config(tool_call_parser="llama3", **values), CATALOG)
        assert "llama3_json" in warning


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        check_named_values(config(reasoning_parser="qwen33", quantization="nothing-like-it"), CATALOG)
    assert "qwen33" in error.value.message
    assert "nothing-like-it" in error.value.message
