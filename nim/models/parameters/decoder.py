"""The modules of a model's language part, layer by layer."""

from collections.abc import Iterator

from nim.models.config import ModelConfig
from nim.models.heads import Heads, attends_latently, read_heads
from nim.models.layers import read_layers
from nim.models.layers.kinds import layer_kinds
from nim.models.parameters.attention import grouped_queries
from nim.models.parameters.families import Family, family_of
from nim.models.parameters.feed_forward import feed_forward_modules
from nim.models.parameters.latent import latent_attention
from nim.models.parameters.mixers import mixer_modules
from nim.models.parameters.modules import Linear, Module, Vocabulary
from nim.models.parameters.sizes import UnknownSizeError, size
from nim.models.runner import generates
from nim.models.types import Layer, LayerKind


def decoder_layers(config: ModelConfig) -> tuple[tuple[Module, ...], ...]:
    """Return the modules of each layer; raise `UnknownSizeError` where a size is not known."""
    family, heads = family_of(config), read_heads(config)
    layers = read_layers(config, heads) or _layers_by_kind(config)
    return tuple(tuple(_layer(config, family, heads, layer, index)) for index, layer in enumerate(layers))


def _layers_by_kind(config: ModelConfig) -> tuple[Layer, ...]:
    kinds = layer_kinds(config)
    if kinds is None:
        raise UnknownSizeError("num_hidden_layers")
    return tuple(Layer(kind=kind) for kind in kinds)


def _layer(config: ModelConfig, family: Family, heads: Heads, layer: Layer, index: int) -> Iterator[Module]:
    alone = config.text.model_type in ("nemotron_h", "nemotron_h_puzzle")
    if layer.kind in (LayerKind.STATE, LayerKind.HYBRID):
        yield from mixer_modules(config, family, index)
    if layer.kind not in (LayerKind.STATE, LayerKind.NONE):
        yield from _attention(config, family, heads, layer, index)
    if not alone or layer.kind == LayerKind.NONE:
        yield from feed_forward_modules(config, family, index)


def _attention(
    config: ModelConfig, family: Family, heads: Heads, layer: Layer, index: int
) -> Iterator[Linear]:
    prefix = f"layers.{index}.{family.attention}"
    if attends_latently(config):
        return latent_attention(config, layer, prefix, index)
    return grouped_queries(config, family, heads, layer, prefix, index)


def embeddings(config: ModelConfig) -> Iterator[Vocabulary]:
    """Yield the embedding, and the head where it has weights of its own."""
    rows, columns = size(config, "vocab_size"), size(config, "hidden_size")
    yield Vocabulary(name="embed_tokens", rows=rows, columns=columns)
    if not shares_embedding(config) and generates(config) is not False:
        yield Vocabulary(name="lm_head", rows=rows, columns=columns)


def shares_embedding(config: ModelConfig) -> bool:
    """Return whether the head is the embedding."""
    for section in (config.text, config.root):
        stated = section.values.get("tie_word_embeddings")
        if isinstance(stated, bool):
            return stated
    return config.flag("tie_word_embeddings")
