"""The layers of a model, each with its kind and caches."""

from collections.abc import Iterator
from dataclasses import replace

from nim.models.config.model_config import ModelConfig
from nim.models.config.read_attention_heads import Heads
from nim.models.layers.attention_caches import attention_caches, full_cache
from nim.models.layers.layer_kinds import layer_kinds
from nim.models.layers.recurrent_states import state_checkpoints, state_tensors
from nim.models.types import Cache, Layer, LayerKind

# Encoders attend both ways and keep nothing.
_ENCODERS = frozenset({
    "albert", "bert", "camembert", "clip_text_model", "distilbert", "eurobert", "gte", "modernbert", "mpnet",
    "new", "nomic_bert", "roberta", "siglip_text_model", "xlm-roberta", "xlm-roberta-flash", "xlm-roberta-xl",
})  # fmt: skip
_SHARING = frozenset({"gemma3n_text", "gemma4_text", "gemma4_unified_text"})
# Their layers keep more than this package knows of: None, rather than a wrong size.
_UNKNOWN = frozenset({
    "deepseek_v41", "dots3_note", "hrm_text", "inkling_model", "inkling_text", "qwen4_exp_text", "rwkv",
    "zaya",
})  # fmt: skip


def read_layers(config: ModelConfig, heads: Heads) -> tuple[Layer, ...] | None:
    """Return a tuple of the language part's layers with caches, in order; None if one cache is unknown."""
    if config.text.model_type in _UNKNOWN:
        return None
    if config.text.model_type in _ENCODERS or looks_both_ways(config):
        return _encoder_layers(config)
    if config.text.flag("is_encoder_decoder") or config.root.flag("is_encoder_decoder"):
        return _decoder_layers(config, heads)
    kinds = layer_kinds(config)
    if kinds is None:
        return None
    layers = [_layer(config, heads, index, kind) for index, kind in enumerate(_shared(config, kinds))]
    found = tuple(layer for layer in layers if layer is not None)
    return found if len(found) == len(layers) else None


def looks_both_ways(config: ModelConfig) -> bool:
    """Return whether the model is a decoder turned into an encoder (attention in both directions)."""
    if config.get("is_causal") is False or config.root.get("is_causal") is False:
        return True
    names = " ".join(config.architectures)
    return config.get("use_bidirectional_attention") in (True, "all") or "Bidirectional" in names


def _encoder_layers(config: ModelConfig) -> tuple[Layer, ...] | None:
    """Return a tuple of an encoder's layers, which have no caches; None if their number is unknown."""
    count = config.first_integer("num_hidden_layers", "n_layer")
    return None if count is None else (Layer(kind=LayerKind.ENCODER),) * count


def _decoder_layers(config: ModelConfig, heads: Heads) -> tuple[Layer, ...] | None:
    """Return a tuple of decoder layers, with self- and cross-attention caches; None if unknown."""
    count, own = config.first_integer("decoder_layers", "num_decoder_layers"), full_cache(heads)
    if count is None or own is None:
        return None
    return (Layer(kind=own.kind, caches=(own, replace(own, kind=LayerKind.CROSS))),) * count


def _shared(config: ModelConfig, kinds: tuple[LayerKind, ...]) -> Iterator[LayerKind]:
    """Yield the kinds, the last ones as NONE where layers share an earlier cache (Gemma 3n, 4)."""
    shared = config.first_integer("num_kv_shared_layers") or 0
    first = len(kinds) - (shared if config.text.model_type in _SHARING else 0)
    for index, kind in enumerate(kinds):
        yield LayerKind.NONE if 0 < first <= index else kind


def _layer(config: ModelConfig, heads: Heads, index: int, kind: LayerKind) -> Layer | None:
    """Return the `Layer` at `index` with its caches; None if they are unknown."""
    if kind == LayerKind.NONE:
        return Layer(kind=kind)
    if kind in (LayerKind.STATE, LayerKind.HYBRID):
        return _layer_with_state(config, heads, index, kind)
    caches = attention_caches(config, heads, index, kind)
    return None if caches is None else Layer(kind=_name(caches), caches=caches)


def _name(caches: tuple[Cache, ...]) -> LayerKind:
    """Return the layer's kind: that of the cache that grows with the context, else of the first cache."""
    kinds = {cache.kind for cache in caches}
    growing = (LayerKind.FULL, LayerKind.COMPRESSED, LayerKind.MLA)
    return next((kind for kind in growing if kind in kinds), caches[0].kind)


def _layer_with_state(config: ModelConfig, heads: Heads, index: int, kind: LayerKind) -> Layer | None:
    """Return a `Layer` with a state, and attention caches if it is hybrid; None if unknown."""
    tensors = state_tensors(config)
    if tensors is None:
        return None
    state = Cache(kind=LayerKind.STATE, tensors=tensors, checkpoints=state_checkpoints(config))
    if kind == LayerKind.STATE:
        return Layer(kind=kind, caches=(state,))
    attention = attention_caches(config, heads, index, LayerKind.FULL)
    return None if attention is None else Layer(kind=kind, caches=(state, *attention))
