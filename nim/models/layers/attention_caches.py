"""The KV caches that each attention layer keeps: keys and values in most models, and families that differ."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from nim.models.config.model_config import ModelConfig, as_size
from nim.models.config.read_attention_heads import Heads, attends_latently
from nim.models.layers.latent_attention_caches import latent_caches
from nim.models.layers.layer_kinds import model_window
from nim.models.types import Cache, LayerKind

Caches = tuple[Cache, ...]
# A window of n sees the token itself and n before it.
_INCLUSIVE_WINDOWS = frozenset({"cohere2", "cohere2_moe"})


def attention_caches(config: ModelConfig, heads: Heads, index: int, kind: LayerKind) -> Caches | None:
    """Return the tuple of `Cache` that attention layer `index`, of this kind, keeps; None if unknown."""
    if attends_latently(config):
        caches = latent_caches(config, index)
        return caches and caches * (2 if config.text.model_type == "longcat_flash" else 1)
    own = _FAMILIES.get(config.text.model_type or "")
    if own is not None:
        return own(config, heads, index, kind)
    cache = _plain(config, heads, kind)
    return None if cache is None else (cache,)


def full_cache(heads: Heads, *, value_size: int | None = None) -> Cache | None:
    """Return the `Cache` of keys and values of every token; None if heads or their size are unknown."""
    if not heads.kv or not heads.size:
        return None
    return Cache(
        kind=LayerKind.FULL, kv_heads=heads.kv, key_size=heads.size, value_size=value_size or heads.size
    )


def _plain(config: ModelConfig, heads: Heads, kind: LayerKind) -> Cache | None:
    """Return the `Cache` of ordinary attention, with its window if it has one; None if heads are unknown."""
    cache = full_cache(heads)
    return None if cache is None else _windowed(cache, config, kind)


def _windowed(cache: Cache, config: ModelConfig, kind: LayerKind) -> Cache:
    """Return the cache limited to the layer's window or chunk; unchanged without one."""
    if kind == LayerKind.CHUNKED:
        return replace(cache, kind=kind, window=config.first_integer("attention_chunk_size"))
    window = config.first_integer("sliding_window") if kind == LayerKind.SLIDING else model_window(config)
    if not window:
        return cache
    inclusive = int(config.text.model_type in _INCLUSIVE_WINDOWS)
    return replace(cache, kind=LayerKind.SLIDING, window=window + inclusive)


def _gemma4(config: ModelConfig, heads: Heads, _index: int, kind: LayerKind) -> Caches | None:
    """Return Gemma 4's one cache; full attention has heads of another number and size. None if unknown."""
    sliding = kind == LayerKind.SLIDING
    size = config.first_integer("head_dim") if sliding else config.first_integer("global_head_dim") or 512
    kv, alike = config.first_integer("num_key_value_heads"), config.get("attention_k_eq_v")
    if not sliding and (alike is None or alike):
        kv = config.first_integer("num_global_key_value_heads") or kv
    cache = full_cache(replace(heads, kv=kv, size=size))
    return None if cache is None else (_windowed(cache, config, kind),)


def _iquest_loops(config: ModelConfig, heads: Heads, _index: int, _kind: LayerKind) -> Caches | None:
    """Return IQuest's caches: full for the first pass, a window for each further one; None if unknown."""
    cache = full_cache(heads)
    if cache is None:
        return None
    window = replace(cache, kind=LayerKind.SLIDING, window=config.first_integer("loop_window_size") or 64)
    return cache, *(window,) * ((config.first_integer("loop_num") or 2) - 1)


def _latent(config: ModelConfig, _heads: Heads, index: int, _kind: LayerKind) -> Caches | None:
    """Return latent caches of a model the engine does not list as latent (MLA); None if unknown."""
    return latent_caches(config, index)


def _mimo_v2(config: ModelConfig, heads: Heads, _index: int, kind: LayerKind) -> Caches | None:
    """Return MiMo V2's one cache; sliding layers have other heads than full ones. None if unknown."""
    if kind != LayerKind.SLIDING:
        cache = full_cache(heads, value_size=config.first_integer("v_head_dim"))
        return None if cache is None else (cache,)
    kv, size = config.first_integer("swa_num_key_value_heads"), config.first_integer("swa_head_dim")
    cache = full_cache(replace(heads, kv=kv, size=size), value_size=config.first_integer("swa_v_head_dim"))
    window = config.first_integer("sliding_window_size", "sliding_window")
    return None if cache is None else (replace(cache, kind=kind, window=window),)


def _minicpm3(config: ModelConfig, heads: Heads, _index: int, _kind: LayerKind) -> Caches | None:
    """Return MiniCPM3's one cache: keys and values of every token in full; None if sizes are unknown."""
    plain, rope = config.first_integer("qk_nope_head_dim"), config.first_integer("qk_rope_head_dim")
    if plain is None or rope is None:
        return None
    cache = full_cache(replace(heads, kv=heads.attention, size=plain + rope))
    return None if cache is None else (cache,)


def _minimax_m3(config: ModelConfig, heads: Heads, index: int, _kind: LayerKind) -> Caches | None:
    """Return MiniMax M3's cache of keys and values, and in sparse layers the index's; None if unknown."""
    cache = full_cache(heads)
    if cache is None:
        return None
    sparse = config.mapping("sparse_attention_config")
    chosen = sparse.get("sparse_attention_freq") or ()
    if index >= len(chosen) or not chosen[index]:
        return (cache,)
    size = as_size(sparse.get("sparse_index_dim")) or 128
    return cache, Cache(kind=LayerKind.MLA, key_size=size, latent=True, dtype="bfloat16")


def _nemotron_nas(config: ModelConfig, heads: Heads, index: int, _kind: LayerKind) -> Caches | None:
    """Return the one cache of a Nemotron-NAS block, which states its own KV heads; None if unknown."""
    block = (config.first_list("block_configs") or ())[index].get("attention") or {}
    group = as_size(block.get("n_heads_in_group"))
    cache = full_cache(replace(heads, kv=heads.attention // group if group and heads.attention else heads.kv))
    return None if cache is None else (cache,)


def _step3p5(config: ModelConfig, heads: Heads, _index: int, kind: LayerKind) -> Caches | None:
    """Return Step 3.5's one cache; sliding layers have other heads than full ones. None if unknown."""
    other = config.mapping("attention_other_setting")
    if kind == LayerKind.SLIDING and other.get("attention_type") == "sliding_attention":
        kv, size = as_size(other.get("num_attention_groups")), as_size(other.get("head_dim"))
        heads = replace(heads, kv=kv or heads.kv, size=size or heads.size)
    cache = _plain(config, heads, kind)
    return None if cache is None else (cache,)


def _windows(field: str) -> Callable[[ModelConfig, Heads, int, LayerKind], Caches | None]:
    """Return a reader of caches that takes each layer's window from the configuration's list `field`."""

    def caches(config: ModelConfig, heads: Heads, index: int, kind: LayerKind) -> Caches | None:
        """Return the one cache of a layer, with its window from the list; None if heads are unknown."""
        windows, cache = config.first_list(field), _plain(config, heads, kind)
        if cache is None or windows is None or kind != LayerKind.SLIDING:
            return None if cache is None else (cache,)
        return (replace(cache, window=as_size(windows[index % len(windows)])),)

    return caches


_FAMILIES: Mapping[str, Callable[[ModelConfig, Heads, int, LayerKind], Caches | None]] = {
    "exaone_moe": _windows("sliding_windows"),
    "gemma4_text": _gemma4,
    "gemma4_unified_text": _gemma4,
    "iquestloopcoder": _iquest_loops,
    "mimo_v2": _mimo_v2,
    "mimo_v2_flash": _mimo_v2,
    "minicpm3": _minicpm3,
    "minimax_m3": _minimax_m3,
    "minimax_m3_text": _minimax_m3,
    "minimax_m3_vl_text": _minimax_m3,
    "nemotron-nas": _nemotron_nas,
    "plamo3": _windows("interleaved_sliding_window"),
    "sarvam_mla": _latent,
    "step3p5": _step3p5,
}
