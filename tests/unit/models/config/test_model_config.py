"""Configurations of any layout under the engine's keys."""

from typing import Any

import pytest

from nim.models.config.model_config import model_config

QWEN2 = {"model_type": "qwen2", "num_attention_heads": 28, "num_hidden_layers": 28}


@pytest.mark.parametrize(
    "layout",
    [
        QWEN2,
        {"model_type": "internvl_chat", "llm_config": QWEN2},
        {"model_type": "internvl", "text_config": QWEN2},
        {"model_type": "of tomorrow", "language_config": QWEN2},
        {"model_type": "deepseek_vl_v2", "language_config": QWEN2},  # the class renames it
        {"model_type": "qwen2_5_omni", "thinker_config": {"text_config": {**QWEN2, "model_type": "x"}}},
        {"model_type": "gpt2", "n_head": 28, "n_layer": 28},
        {"model_type": "dbrx", "n_heads": 28, "n_layers": 28},
        {"model_type": "chatglm", "num_attention_heads": 28, "num_layers": 28},
        {"model_type": "qwen2_vl", "num_attention_heads": 28, "num_hidden_layers": 28, "vision_config": {}},
    ],
)
def test_same_question_for_every_layout(layout: dict[str, Any]) -> None:
    config = model_config(layout)
    assert (config.first_integer("num_attention_heads"), config.first_integer("num_hidden_layers")) == (
        28,
        28,
    )


def test_what_a_file_leaves_out_is_its_class_s_default() -> None:
    config = model_config({"model_type": "gemma3", "text_config": {"num_hidden_layers": 62}})
    assert config.text.model_type == "gemma3_text"
    assert config.first_integer("max_position_embeddings") == 131072
    assert config.first_integer("num_hidden_layers") == 62


def test_part_may_be_of_another_class_where_the_class_allows_it() -> None:
    config = model_config({"model_type": "llava", "text_config": {"model_type": "mistral"}})
    assert config.text.model_type == "mistral"
    assert config.first_integer("num_key_value_heads") == 8


def test_unknown_class_has_what_its_file_says_and_nothing_else() -> None:
    config = model_config({"model_type": "of tomorrow", "num_attention_heads": 8})
    assert config.first_integer("num_attention_heads") == 8
    assert config.first_integer("num_hidden_layers") is None


@pytest.mark.parametrize("value", [True, "8", None, [8], 8.5])
def test_only_whole_numbers_are_whole(value: Any) -> None:
    assert model_config({"num_attention_heads": value}).first_integer("num_attention_heads") is None


def test_whole_numbers_may_be_written_as_others() -> None:
    config = model_config({"rope_theta": 1e6, "first_k_dense_replace": 0})
    assert (config.first_integer("rope_theta"), config.first_integer("first_k_dense_replace")) == (
        1_000_000,
        0,
    )


def test_null_is_not_the_default() -> None:
    config = model_config({"model_type": "gemma3_text", "sliding_window": None})
    assert config.first_integer("sliding_window") is None
    assert config.has("sliding_window")


@pytest.mark.parametrize(
    ("config", "architectures"),
    [
        ({"model_type": "llama", "architectures": ["A", "B"]}, ("A", "B")),
        ({"model_type": "qwen3", "architectures": []}, ("Qwen3Model",)),
        ({"model_type": "of tomorrow"}, ()),
    ],
)
def test_file_without_an_architecture_has_the_engine_s(
    config: dict[str, Any], architectures: tuple[str, ...]
) -> None:
    assert model_config(config).architectures == architectures


def test_file_that_is_read_without_a_class_has_no_defaults() -> None:
    assert model_config({"model_type": "llama"}, classless=True).first_integer("num_attention_heads") is None
