"""The layers of a model with the caches that each keeps."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from nim.models.config import ModelConfig, as_whole
from nim.models.heads import Heads, attends_latently
from nim.models.layers.kinds import layer_kinds, model_window
from nim.models.layers.latent import latent_caches
from nim.models.layers.states import state_checkpoints, state_tensors
from nim.models.types import Cache, Layer, LayerKind

# Encoders attend both ways and keep nothing.
_ENCODERS = frozenset({
    "albert", "bert", "camembert", "clip_text_model", "distilbert", "eurobert", "gte", "modernbert", "mpnet",
    "new", "nomic_bert", "roberta", "siglip_text_model", "xlm-roberta", "xlm-roberta-flash", "xlm-roberta-xl",
})  # fmt: skip
# A window of n sees the token itself and n before it.
_INCLUSIVE_WINDOWS = frozenset({"cohere2", "cohere2_moe"})
_SHARING = frozenset({"gemma3n_text", "gemma4_text", "gemma4_unified_text"})
# Their layers keep more than this module knows of: None, rather than a wrong size.
_UNKNOWN = frozenset({
    "bailing_hybrid", "deepseek_v41", "dots3_note", "hrm_text", "inkling_text", "inkling_model",
    "qwen4_exp_text", "rwkv", "zaya",
})  # fmt: skip


def read_layers(config: ModelConfig, heads: Heads) -> tuple[Layer, ...] | None:
    """Return the layers of the language part in their order; None where a layer's cache is not known."""
    kind = config.text.model_type or ""
    if kind in _UNKNOWN and not (kind == "bailing_hybrid" and not attends_latently(config)):
        return None
    if kind in _ENCODERS or looks_both_ways(config):
        return _encoder_layers(config)
    if config.text.flag("is_encoder_decoder") or config.root.flag("is_encoder_decoder"):
        return _decoder_layers(config, heads)
    kinds = layer_kinds(config)
    if kinds is None:
        return None
    kinds = tuple(_shared(config, kinds))
    layers = [_layer(config, heads, index, kind) for index, kind in enumerate(kinds)]
    found = tuple(layer for layer in layers if layer is not None)
    return found if len(found) == len(layers) else None


def looks_both_ways(config: ModelConfig) -> bool:
    """Return whether it is a decoder that was turned into an encoder."""
    if config.get("is_causal") is False or config.root.get("is_causal") is False:
        return True
    bidirectional = config.get("use_bidirectional_attention")
    names = " ".join(config.architectures)
    return bidirectional in (True, "all") or "Bidirectional" in names


def _encoder_layers(config: ModelConfig) -> tuple[Layer, ...] | None:
    count = config.whole("num_hidden_layers", "n_layer")
    return None if count is None else (Layer(kind=LayerKind.ENCODER),) * count


def _decoder_layers(config: ModelConfig, heads: Heads) -> tuple[Layer, ...] | None:
    """Of an encoder-decoder: each layer of the decoder keeps its own tokens and the encoder's."""
    count, own = config.whole("decoder_layers", "num_decoder_layers"), _full(heads)
    if count is None or own is None:
        return None
    return (Layer(kind=LayerKind.CROSS, caches=(own, replace(own, kind=LayerKind.CROSS))),) * count


def _shared(config: ModelConfig, kinds: tuple[LayerKind, ...]) -> Iterator[LayerKind]:
    """The last layers of Gemma 3n and 4 use the keys and values of earlier ones."""
    kind = config.text.model_type
    sharing = (config.whole("num_kv_shared_layers") or 0) if kind in _SHARING else 0
    first = len(kinds) - sharing
    for index, layer in enumerate(kinds):
        yield LayerKind.NONE if sharing and 0 < first <= index else layer


def _layer(config: ModelConfig, heads: Heads, index: int, kind: LayerKind) -> Layer | None:
    if kind == LayerKind.NONE:
        return Layer(kind=kind)
    if kind in (LayerKind.STATE, LayerKind.HYBRID):
        return _layer_with_state(config, heads, index, kind)
    caches = _attention(config, heads, index, kind)
    if caches is None:
        return None
    return Layer(kind=_name(caches), caches=caches)


def _name(caches: tuple[Cache, ...]) -> LayerKind:
    """A layer is named after the cache that grows with the context, else after its only one."""
    kinds = {cache.kind for cache in caches}
    return next(
        (k for k in (LayerKind.FULL, LayerKind.COMPRESSED, LayerKind.MLA) if k in kinds), caches[0].kind
    )


def _layer_with_state(config: ModelConfig, heads: Heads, index: int, kind: LayerKind) -> Layer | None:
    tensors = state_tensors(config)
    if tensors is None:
        return None
    state = Cache(kind=LayerKind.STATE, tensors=tensors, checkpoints=state_checkpoints(config))
    if kind == LayerKind.STATE:
        return Layer(kind=kind, caches=(state,))
    attention = _attention(config, heads, index, LayerKind.FULL)
    return None if attention is None else Layer(kind=kind, caches=(state, *attention))


def _attention(config: ModelConfig, heads: Heads, index: int, kind: LayerKind) -> tuple[Cache, ...] | None:
    if attends_latently(config):
        caches = latent_caches(config, index)
        return caches and caches * (2 if config.text.model_type == "longcat_flash" else 1)
    own = _FAMILIES.get(config.text.model_type or "")
    if own is not None:
        return own(config, heads, index, kind)
    cache = _plain(config, heads, kind)
    return None if cache is None else (cache,)


def _full(heads: Heads, *, value_size: int | None = None) -> Cache | None:
    if not heads.kv or not heads.size:
        return None
    return Cache(
        kind=LayerKind.FULL, kv_heads=heads.kv, key_size=heads.size, value_size=value_size or heads.size
    )


def _plain(config: ModelConfig, heads: Heads, kind: LayerKind) -> Cache | None:
    cache = _full(heads)
    return None if cache is None else _windowed(cache, config, kind)


def _windowed(cache: Cache, config: ModelConfig, kind: LayerKind) -> Cache:
    if kind == LayerKind.CHUNKED:
        return replace(cache, kind=kind, window=config.whole("attention_chunk_size"))
    window = config.whole("sliding_window") if kind == LayerKind.SLIDING else model_window(config)
    if not window:
        return cache
    inclusive = int(config.text.model_type in _INCLUSIVE_WINDOWS)
    return replace(cache, kind=LayerKind.SLIDING, window=window + inclusive)


def _gemma4(config: ModelConfig, heads: Heads, _index: int, kind: LayerKind) -> tuple[Cache, ...] | None:
    """Full attention has heads of its own number and size."""
    sliding = kind == LayerKind.SLIDING
    size = config.whole("head_dim") if sliding else config.whole("global_head_dim") or 512
    kv = config.whole("num_key_value_heads")
    own = config.get("attention_k_eq_v")
    if not sliding and (own is None or own):
        kv = config.whole("num_global_key_value_heads") or kv
    cache = _full(replace(heads, kv=kv, size=size))
    return None if cache is None else (_windowed(cache, config, kind),)


def _mimo_v2(config: ModelConfig, heads: Heads, _index: int, kind: LayerKind) -> tuple[Cache, ...] | None:
    if kind != LayerKind.SLIDING:
        cache = _full(heads, value_size=config.whole("v_head_dim"))
        return None if cache is None else (cache,)
    kv, size = config.whole("swa_num_key_value_heads"), config.whole("swa_head_dim")
    cache = _full(replace(heads, kv=kv, size=size), value_size=config.whole("swa_v_head_dim"))
    window = config.whole("sliding_window_size", "sliding_window")
    return None if cache is None else (replace(cache, kind=kind, window=window),)


def _step3p5(config: ModelConfig, heads: Heads, _index: int, kind: LayerKind) -> tuple[Cache, ...] | None:
    other = config.mapping("attention_other_setting")
    if kind == LayerKind.SLIDING and other.get("attention_type") == "sliding_attention":
        kv, size = as_whole(other.get("num_attention_groups")), as_whole(other.get("head_dim"))
        heads = replace(heads, kv=kv or heads.kv, size=size or heads.size)
    cache = _plain(config, heads, kind)
    return None if cache is None else (cache,)


def _minimax_m3(config: ModelConfig, heads: Heads, index: int, _kind: LayerKind) -> tuple[Cache, ...] | None:
    """Sparse layers keep an index of every token beside keys and values."""
    cache = _full(heads)
    sparse = config.mapping("sparse_attention_config")
    if cache is None:
        return None
    chosen = sparse.get("sparse_attention_freq") or ()
    if index >= len(chosen) or not chosen[index]:
        return (cache,)
    size = as_whole(sparse.get("sparse_index_dim")) or 128
    return cache, Cache(kind=LayerKind.MLA, key_size=size, latent=True, dtype="bfloat16")


def _nemotron_nas(
    config: ModelConfig, heads: Heads, index: int, _kind: LayerKind
) -> tuple[Cache, ...] | None:
    block = (config.listed("block_configs") or ())[index].get("attention") or {}
    group = as_whole(block.get("n_heads_in_group"))
    kv = heads.attention // group if group and heads.attention else heads.kv
    cache = _full(replace(heads, kv=kv))
    return None if cache is None else (cache,)


def _windows_by_layer(field: str) -> Callable[[ModelConfig, Heads, int, LayerKind], tuple[Cache, ...] | None]:
    def caches(config: ModelConfig, heads: Heads, index: int, kind: LayerKind) -> tuple[Cache, ...] | None:
        windows = config.listed(field)
        cache = _plain(config, heads, kind)
        if cache is None or windows is None or kind != LayerKind.SLIDING:
            return None if cache is None else (cache,)
        return (replace(cache, window=as_whole(windows[index % len(windows)])),)

    return caches


_FAMILIES: Mapping[str, Callable[[ModelConfig, Heads, int, LayerKind], tuple[Cache, ...] | None]] = {
    "exaone_moe": _windows_by_layer("sliding_windows"),
    "gemma4_text": _gemma4,
    "gemma4_unified_text": _gemma4,
    "mimo_v2": _mimo_v2,
    "mimo_v2_flash": _mimo_v2,
    "minimax_m3_vl_text": _minimax_m3,
    "minimax_m3_text": _minimax_m3,
    "minimax_m3": _minimax_m3,
    "nemotron-nas": _nemotron_nas,
    "plamo3": _windows_by_layer("interleaved_sliding_window"),
    "step3p5": _step3p5,
}
