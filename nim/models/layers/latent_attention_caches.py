"""Caches of latent attention: DeepSeek V2, V3, V4, and models with a sparse indexer."""

from collections.abc import Callable, Mapping

from nim.models.config.model_config import ModelConfig, as_size
from nim.models.types import Cache, LayerKind

# The indexer keeps a byte a channel and a 4-byte scale for each 128 of them.
_INDEX_SCALE_CHANNELS, _INDEX_SCALE_BYTES = 128, 4
# Blocks of DeepSeek V4's window and of the states of its compressors, in tokens.
_WINDOW_BLOCK, _STATE_BLOCKS = 64, {4: 4, 128: 8}


def latent_caches(config: ModelConfig, index: int) -> tuple[Cache, ...] | None:
    """Return the tuple of `Cache` that layer `index` of an MLA model keeps; None if unknown."""
    family = _FAMILIES.get(config.text.model_type or "")
    if family is not None:
        return family(config, index)
    latent = _latent(config)
    return None if latent is None else (latent,)


def index_cache(size: int, *, compression: int = 1, aligned: bool = False) -> Cache:
    """Return the `Cache` of a sparse indexer with `size` 8-bit channels and their scales."""
    scales = size // _INDEX_SCALE_CHANNELS * _INDEX_SCALE_BYTES
    kind = LayerKind.MLA if compression == 1 else LayerKind.COMPRESSED
    return Cache(
        kind=kind,
        key_size=size + scales,
        latent=True,
        compression=compression,
        dtype="uint8",
        aligned=aligned,
    )


def _latent(config: ModelConfig) -> Cache | None:
    """Return the `Cache` of one latent vector per token; None if its rank is not stated."""
    rank = config.first_integer("kv_lora_rank")
    if rank is None:
        return None
    return Cache(
        kind=LayerKind.MLA, key_size=rank + (config.first_integer("qk_rope_head_dim") or 0), latent=True
    )


def _sparse(config: ModelConfig, index: int) -> tuple[Cache, ...] | None:
    """Return a tuple: the latent cache, and the indexer's if layer `index` has one; None if unknown."""
    latent = _latent(config)
    if latent is None:
        return None
    if not config.first_integer("index_topk") or _shares_index(config, index):
        return (latent,)
    return latent, index_cache(config.first_integer("index_head_dim") or _INDEX_SCALE_CHANNELS)


def _shares_index(config: ModelConfig, index: int) -> bool:
    """Return whether a layer uses an earlier layer's index and keeps none."""
    pattern = config.get("index_topk_pattern")
    if isinstance(pattern, str | list):
        return index < len(pattern) and pattern[index] == "S"
    frequency, offset = (
        config.first_integer("index_topk_freq") or 1,
        config.first_integer("index_skip_topk_offset"),
    )
    return max(index - (2 if offset is None else offset) + 1, 0) % frequency != 0


def _hunyuan_v4(config: ModelConfig, index: int) -> tuple[Cache, ...] | None:
    """Return Hunyuan V4's caches: latent, and in sparse layers the indexer's; None if unknown."""
    words = config.first_list("layer_types") or ()
    if index < len(words) and "sparse" not in str(words[index]) and "indexed" not in str(words[index]):
        latent = _latent(config)
        return None if latent is None else (latent,)
    return _sparse(config, index)


def _glm5_next(config: ModelConfig, _index: int) -> tuple[Cache, ...] | None:
    """Return GLM-5-Next's caches: latent, pooled index and its incomplete pool; None if unknown."""
    latent, pool = _latent(config), config.first_integer("index_kpool")
    if latent is None:
        return None
    if not config.first_integer("index_topk") or not pool:
        return (latent,)
    size = config.first_integer("index_head_dim") or _INDEX_SCALE_CHANNELS
    tail = Cache(
        kind=LayerKind.FULL, kv_heads=2, latent=True, key_size=size, dtype="bfloat16", block=pool, ring=True
    )
    return latent, index_cache(size, compression=pool), tail


def _deepseek_v4(config: ModelConfig, index: int) -> tuple[Cache, ...] | None:
    """Return DeepSeek V4's caches: window, and where compressed states, entries, index; None if unknown."""
    size, window = config.first_integer("head_dim"), config.first_integer("sliding_window")
    ratios = config.first_list("compress_ratios")
    if size is None or window is None or ratios is None:
        return None
    ratio = max(1, as_size(ratios[index]) or 0) if index < len(ratios) else 1
    kept = Cache(
        kind=LayerKind.SLIDING, key_size=size, latent=True, window=window, block=_WINDOW_BLOCK, aligned=True
    )
    if ratio == 1:
        return (kept,)
    compressed = Cache(kind=LayerKind.COMPRESSED, key_size=size, latent=True, compression=ratio, aligned=True)
    caches = (kept, _compressor_state(size, ratio), compressed)
    if ratio != 4:
        return caches
    channels = config.first_integer("index_head_dim") or _INDEX_SCALE_CHANNELS
    index_entries = index_cache(channels, compression=ratio, aligned=True)
    return (*caches, index_entries, _compressor_state(channels, ratio))


def _compressor_state(size: int, ratio: int) -> Cache:
    """Return the `Cache` of a compressor's incomplete groups, in 32 bits; groups of 4 overlap."""
    overlap = 2 if ratio == 4 else 1
    return Cache(
        kind=LayerKind.SLIDING,
        key_size=2 * overlap * size,
        latent=True,
        window=overlap * ratio,
        dtype="float32",
        block=_STATE_BLOCKS.get(ratio, ratio),
        aligned=True,
    )


_FAMILIES: Mapping[str, Callable[[ModelConfig, int], tuple[Cache, ...] | None]] = {
    "deepseek_v4": _deepseek_v4,
    "deepseek_v32": _sparse,
    "glm_moe_dsa": _sparse,
    "glm5_next_text": _glm5_next,
    "hy_v4": _hunyuan_v4,
    "deepseek_v3": _sparse,
    "deepseek_v2": _sparse,
    "kimi_k2": _sparse,
}
