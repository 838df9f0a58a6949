"""The context length that the engine derives for a model, and the configuration values behind it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from nim.models.config.model_config import ModelConfig, as_size
from nim.models.types import Context

# The engine takes the smallest of those that are there.
_LENGTHS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length",
    "max_target_positions", "max_sequence_length", "max_seq_length", "seq_len",
)  # fmt: skip
# Of other kinds of RoPE scaling the factor multiplies the length; these have it in the length already.
_SCALED_ALREADY = frozenset({"su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling"})
_WITHOUT_ANY = 2048
_ABSOLUTE_POSITIONS = "absolute"


def read_context(config: ModelConfig, *, generates: bool | None) -> Context | None:
    """Return the engine's default context and limit in tokens as `Context`; None without a configuration."""
    length, why = _stated(config)
    if length is None and not config.text.values:
        return None
    tokenizer = _tokenizer_length(config, generates=generates)
    if tokenizer and (length is None or tokenizer < length):
        length, why = tokenizer, "model_max_length of tokenizer_config.json"
    unlimited = length is None
    if length is None:
        length, why = _WITHOUT_ANY, f"no field names a length: the engine assumes {_WITHOUT_ANY}"
    length, why = _scaled(config, length, why)
    sentences = as_size(config.sentence_config.get("max_seq_length"))
    if sentences:
        length, why = sentences, "max_seq_length of the sentence-transformers configuration"
    context = _with_default(config, length, why)
    return replace(context, limit=None) if unlimited else context


def rope_parameters(config: ModelConfig) -> tuple[Mapping[str, Any], ...]:
    """Return the RoPE parameters as a tuple, one object per kind of layer where they differ; () if none."""
    return tuple(_rope_parameters(config))


def _with_default(config: ModelConfig, length: int, why: str) -> Context:
    """Return the `Context` for this default length, lowered for longrope and EmbeddingGemma 2."""
    limit = max(length, config.first_integer("model_max_length") or 0)
    original = config.first_integer("original_max_position_embeddings")
    if original is not None and any(_rope_type(rope) == "longrope" for rope in rope_parameters(config)):
        reason = f"original_max_position_embeddings: longrope without --max-model-len; up to {limit} with it"
        return Context(tokens=original, why=reason, limit=limit)
    if config.text.model_type == "embedding_gemma2_text" and length > 8192:
        return Context(tokens=8192, why="the engine's bound for EmbeddingGemma 2", limit=limit)
    return Context(tokens=length, why=why, limit=limit)


def _stated(config: ModelConfig) -> tuple[int | None, str]:
    """Return the stated context in tokens, the smallest if several, and its key; (None, "") if none."""
    own = config.first_integer("model_max_length")
    if own:
        return own, "model_max_length"
    named = [(length, name) for name in _LENGTHS if (length := config.first_integer(name)) is not None]
    return min(named, key=lambda pair: pair[0]) if named else (None, "")


def _tokenizer_length(config: ModelConfig, *, generates: bool | None) -> int | None:
    """Return the tokenizer's limit in tokens for pooling models with absolute positions, else None."""
    if generates is not False or config.root.first_string("position_embedding_type") != _ABSOLUTE_POSITIONS:
        return None
    return as_size(config.tokenizer_config.get("model_max_length"))


def _scaled(config: ModelConfig, length: int, why: str) -> tuple[int, str]:
    """Return (tokens times the RoPE scaling factor where that applies, explanation of the length)."""
    if "gemma3" in (config.text.model_type or ""):
        return length, why
    factor = 1.0
    for rope in rope_parameters(config):
        if _rope_type(rope) not in _SCALED_ALREADY:
            found = rope.get("factor", factor)
            usable = isinstance(found, int | float) and isfinite(found) and found > 0
            factor = found if usable else 1.0
    if factor == 1.0:
        return length, why
    return int(length * factor), f"{why} × the RoPE scaling factor {factor:g}"


def _rope_type(rope: Mapping[str, Any]) -> str:
    """Return the RoPE type in these parameters; "default" if it is not stated."""
    return str(rope.get("rope_type") or rope.get("type") or "default")


def _rope_parameters(config: ModelConfig) -> Iterator[Mapping[str, Any]]:
    """Yield the RoPE parameter objects: those per attention kind if nested, else the one; none if absent."""
    text = config.text
    heard = text.known.rope or (text.get("rope_theta") is not None)
    rope = (text.mapping("rope_scaling") if heard else {}) or text.mapping("rope_parameters")
    nested = [
        inner for key, inner in rope.items() if isinstance(inner, Mapping) and key.endswith("attention")
    ]
    yield from nested or ([rope] if rope else [])
