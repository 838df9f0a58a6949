"""The context that the engine derives, and why."""

from typing import Any

import pytest

from nim.models.config.interpret_config import read_model
from nim.models.config.model_config import model_config
from nim.models.config.read_context_length import read_context
from tests.unit.models.models import GEMMA3, LLAMA, reading

LONGROPE = {"type": "longrope", "long_factor": [1.0], "short_factor": [1.0]}
BERT = {"architectures": ["BertModel"], "model_type": "bert", "position_embedding_type": "absolute"}


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        (LLAMA, 131072),
        (GEMMA3, 131072),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "mpt", "max_seq_len": 65536}, 65536),
        ({"model_type": "chatglm", "seq_length": 8192}, 8192),
        ({"model_type": "whisper"}, 448),
        ({"max_position_embeddings": 8192, "max_sequence_length": 4096}, 4096),
        ({"max_position_embeddings": 8192, "model_max_length": 131072}, 131072),
        ({"model_type": "of tomorrow"}, 2048),
    ],
)
def test_field_that_counts(config: dict[str, Any], tokens: int) -> None:
    context = reading(config).context
    assert context is not None
    assert context.tokens == tokens


@pytest.mark.parametrize(
    ("scaling", "tokens"),
    [
        ({"rope_type": "llama3", "factor": 8.0}, 131072),
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
        ({"type": "dynamic", "factor": 2.0}, 262144),
        ({"type": "linear", "factor": 4.0}, 524288),
        ({"type": "linear", "factor": None}, 131072),
        ({"type": "mrope", "mrope_section": [16, 24, 24]}, 131072),
    ],
)
def test_scaling_of_rope(scaling: dict[str, Any], tokens: int) -> None:
    context = reading(LLAMA, rope_scaling=scaling).context
    assert context is not None
    assert context.tokens == tokens


def test_longrope_has_its_original_length_until_a_longer_one_is_asked_for() -> None:
    config = {"model_type": "phi3", "max_position_embeddings": 131072, "rope_scaling": LONGROPE}
    context = reading(config, original_max_position_embeddings=4096).context
    assert context is not None
    assert (context.tokens, context.limit) == (4096, 131072)


def test_tokenizer_s_length_counts_for_pooling_with_absolute_positions() -> None:
    config = model_config(BERT, tokenizer_config={"model_max_length": 384})
    assert read_context(config, generates=False) == read_model(config).context
    assert [getattr(read_context(config, generates=g), "tokens", None) for g in (False, True)] == [384, 512]


def test_sentence_transformers_have_the_last_word() -> None:
    context = read_model(model_config(BERT, sentence_config={"max_seq_length": 256})).context
    assert context is not None
    assert context.tokens == 256


def test_command_r_accepts_its_longer_length() -> None:
    context = reading(LLAMA, max_position_embeddings=8192, model_max_length=131072).context
    assert context is not None
    assert context.limit == 131072


def test_a_model_without_a_length_takes_any_that_is_asked_for() -> None:
    context = reading({"model_type": "mamba2", "num_hidden_layers": 4}).context
    assert context is not None
    assert (context.tokens, context.limit) == (2048, None)


def test_nothing_is_known_of_nothing() -> None:
    assert reading({}).context is None
