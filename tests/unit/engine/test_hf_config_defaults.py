"""The engine's configuration classes, as data."""

import json

import pytest

from nim.engine.hf_config_defaults import FILE, UNKNOWN, config_class, default_architecture


def test_every_line_is_a_class() -> None:
    classes = json.loads(FILE.read_text(encoding="utf-8"))["classes"]
    assert len(classes) > 500
    for name, row in classes.items():
        assert dict(config_class(name).defaults) == row.get("defaults", {}), name


@pytest.mark.parametrize(
    ("model_type", "name", "default"),
    [
        ("llama", "num_attention_heads", 32),
        ("gpt2", "n_head", 12),
        ("mixtral", "num_local_experts", 8),
        ("gemma3_text", "sliding_window", 4096),
        ("whisper", "d_model", 384),
    ],
)
def test_defaults_are_those_of_the_class(model_type: str, name: str, default: int) -> None:
    assert config_class(model_type).defaults[name] == default


def test_standard_names_lead_to_the_class_s_own() -> None:
    assert config_class("gpt2").names["num_attention_heads"] == "n_head"
    assert config_class("gpt2").names["hidden_size"] == "n_embd"


def test_language_part_has_a_path() -> None:
    assert config_class("llama").text == ()
    assert config_class("gemma3").text == ("text_config",)
    assert config_class("qwen2_5_omni").text == ("thinker_config", "text_config")


def test_architecture_of_a_file_that_names_none() -> None:
    assert default_architecture("llama") == "LlamaModel"


@pytest.mark.parametrize("model_type", [None, "", "of tomorrow", 'of "tomorrow"', "defaults"])
def test_other_types_are_not_known(model_type: str | None) -> None:
    assert config_class(model_type) == UNKNOWN
    assert default_architecture(model_type) is None
