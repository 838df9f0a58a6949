"""The weight matrices of a model's decoder layers, layer by layer, with embedding and output head."""

from collections.abc import Iterator
from dataclasses import replace

from nim.models.config.detect_task_and_modalities import generates
from nim.models.config.model_config import ModelConfig
from nim.models.config.read_attention_heads import Heads, is_latent, read_heads
from nim.models.layers import read_layers
from nim.models.layers.layer_kinds import layer_kinds
from nim.models.types import Layer, LayerKind
from nim.models.weights.parts import encoder_decoder
from nim.models.weights.parts.attention import grouped_queries
from nim.models.weights.parts.family_extras import layer_extras, shared_queries, shares_keys
from nim.models.weights.parts.feed_forward import feed_forward_modules
from nim.models.weights.parts.latent_attention import latent_attention
from nim.models.weights.parts.layers_with_experts import sparse_layers
from nim.models.weights.parts.model_family_properties import Family, family_of
from nim.models.weights.parts.read_required_sizes import UnknownSizeError, size
from nim.models.weights.parts.recurrent_layers import mixer_modules
from nim.models.weights.weight_matrices import Linear, Module, Vocabulary

# Their weights lead to latent vectors, from which the engine makes keys and values to keep.
_LATENT_WEIGHTS = frozenset({"minicpm3"})
# Their layers are of a kind of their own.
_UNKNOWN = frozenset({"hrm_text"})
# Layers of one kind differ in size.
_ALL_DIFFERENT = frozenset({"gemma3n_text", "gemma4_text", "gemma4_unified_text", "laguna", "nemotron-nas"})
# Whatever their configurations say, the head is the embedding.
_ALWAYS_SHARING = frozenset({"lfm2", "lfm2_moe", "zamba2"})
# Not generators by their names, but served by classes that are made for generation.
_WITH_HEAD = frozenset(
    {"ChatGLMModel", "LlamaModel", "MistralModel", "Qwen2Model", "JambaForSequenceClassification"}
)


def decoder_layers(config: ModelConfig) -> tuple[tuple[Module, ...], ...]:
    """Return a tuple of modules per layer; like layers share one tuple. Names begin below the layer.

    Raise `UnknownSizeError` where a size is not known.
    """
    kind = config.text.model_type
    if kind in _UNKNOWN:
        raise UnknownSizeError(str(kind))
    if kind in encoder_decoder.FAMILIES:
        return encoder_decoder.encoder_decoder_layers(config)
    family, heads = family_of(config), read_heads(config)
    layers = read_layers(config, heads) or _layers_by_kind(config)
    alike: dict[object, tuple[Module, ...]] = {}
    found = []
    for index, (layer, sparse) in enumerate(zip(layers, sparse_layers(config, len(layers)), strict=True)):
        key = (layer, sparse, index if kind in _ALL_DIFFERENT else None)
        if key not in alike:
            alike[key] = tuple(_layer(config, family, heads, layer, index, sparse=sparse))
        found.append(alike[key])
    return tuple(found)


def _layers_by_kind(config: ModelConfig) -> tuple[Layer, ...]:
    """Return a tuple, a `Layer` without caches for each layer; raise UnknownSizeError if unknown."""
    kinds = layer_kinds(config)
    if kinds is None:
        raise UnknownSizeError("num_hidden_layers")
    return tuple(Layer(kind=kind) for kind in kinds)


def _layer(
    config: ModelConfig, family: Family, heads: Heads, layer: Layer, index: int, *, sparse: bool
) -> Iterator[Module]:
    """Yield the weight matrices of layer `index`: mixer or attention, feed-forward network, extras."""
    if layer.kind in (LayerKind.STATE, LayerKind.HYBRID):
        yield from mixer_modules(config, family)
    if layer.kind not in (LayerKind.STATE, LayerKind.NONE) and not family.shares_attention:
        yield from _attention(config, family, heads, layer, index)
    if shares_keys(config, index):
        yield from shared_queries(config, family.attention, index)
    if family.feeds_forward and (not family.one_part or layer.kind == LayerKind.NONE):
        yield from feed_forward_modules(config, family, index, sparse=sparse)
    yield from layer_extras(config, layer)


def _attention(
    config: ModelConfig, family: Family, heads: Heads, layer: Layer, index: int
) -> Iterator[Linear]:
    """Yield the weight matrices of one layer's attention, latent or grouped-query."""
    if is_latent(config) or config.text.model_type in _LATENT_WEIGHTS:
        return latent_attention(config, layer, family.attention, index)
    return grouped_queries(config, family, heads, layer, family.attention, index)


def embedding(config: ModelConfig) -> Vocabulary:
    """Return the vocabulary's embedding as `Vocabulary`; raise UnknownSizeError without its sizes."""
    return Vocabulary(
        name="embed_tokens",
        rows=size(config, "vocab_size"),
        columns=size(config, "hidden_size"),
        whole=config.text.model_type in encoder_decoder.FAMILIES,
    )


def head(config: ModelConfig) -> Vocabulary | None:
    """Return the output head as `Vocabulary`; None if the embedding serves as head or there is none."""
    if shares_embedding(config) or not _has_head(config):
        return None
    return replace(embedding(config), name="lm_head")


def _has_head(config: ModelConfig) -> bool:
    """Return whether the engine builds an output head: not for models it turns into pooling ones."""
    made_with = any(name in _WITH_HEAD for name in config.architectures) and not config.pools
    return generates(config) is not False or made_with


def shares_embedding(config: ModelConfig) -> bool:
    """Return whether the output head is the embedding itself (tied weights); False if not stated."""
    if config.text.model_type in _ALWAYS_SHARING:
        return True
    name = "tie_word_embeddings"
    stated = (config.text.values.get(name), config.root.values.get(name))
    assumed = (config.root.known.defaults.get(name), config.text.known.defaults.get(name))
    return next((value for value in (*stated, *assumed) if isinstance(value, bool)), False)
