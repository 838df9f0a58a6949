"""Weights of encoder-decoder models such as Whisper."""

from collections.abc import Iterator

from nim.models.config.model_config import ModelConfig
from nim.models.weights.parts.attention import ATTENTION_HEADS
from nim.models.weights.parts.read_required_sizes import size
from nim.models.weights.tensor_parallel_split import Share, undivided
from nim.models.weights.weight_matrices import Linear, Module, column, replicated, row

FAMILIES = frozenset({"whisper"})
_MLP = "an MLP width of {}"


def encoder_decoder_layers(config: ModelConfig) -> tuple[tuple[Module, ...], ...]:
    """Return a tuple of weight modules per layer, the encoder's layers first."""
    hidden = size(config, "d_model", "hidden_size")
    encoder = (*_attention(config, hidden), *_feed_forward(config, "encoder_ffn_dim", hidden))
    decoder = (*_attention(config, hidden) * 2, *_feed_forward(config, "decoder_ffn_dim", hidden))
    return (encoder,) * size(config, "encoder_layers") + (decoder,) * size(config, "decoder_layers")


def encoder_decoder_extras(config: ModelConfig) -> Iterator[Module]:
    """Yield the weights of the encoder's convolutions and of both positional embeddings."""
    hidden = size(config, "d_model", "hidden_size")
    yield replicated("encoder.conv", 3 * ((config.first_integer("num_mel_bins") or 80) + hidden), hidden)
    for name in ("max_source_positions", "max_target_positions"):
        yield replicated("embed_positions", hidden, config.first_integer(name) or 0)


def _attention(config: ModelConfig, hidden: int) -> tuple[Linear, ...]:
    """Return the two matrices of one attention as a tuple of `Linear`: `qkv_proj` and `out_proj`."""
    count = size(config, "decoder_attention_heads", "num_attention_heads")
    heads = Share(count, hidden // count, ATTENTION_HEADS)
    return (
        Linear(name="qkv_proj", inputs=undivided(hidden), outputs=(heads, heads, heads)),
        Linear(name="out_proj", inputs=heads, outputs=(undivided(hidden),)),
    )


def _feed_forward(config: ModelConfig, width: str, hidden: int) -> tuple[Linear, ...]:
    """Return the two matrices of a feed-forward network as a tuple of `Linear`: `fc1` and `fc2`."""
    inner = size(config, width, "intermediate_size")
    return column("fc1", hidden, inner, what=_MLP), row("fc2", inner, hidden, what=_MLP)
