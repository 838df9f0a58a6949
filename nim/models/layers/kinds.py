"""What each layer of a stack is, by the words and patterns that configurations have for it."""

from collections.abc import Callable, Mapping, Sequence

from nim.models.config import ModelConfig, as_whole
from nim.models.types import LayerKind

_WORDS: Mapping[str, LayerKind] = {
    **dict.fromkeys(
        ("full_attention", "attention", "global_attention", "global", "full", "*"), LayerKind.FULL
    ),
    **dict.fromkeys(
        ("indexed_attention", "deepseek_sparse_attention", "qwen_sparse_attention"), LayerKind.FULL
    ),
    **dict.fromkeys(("sliding_attention", "sliding_window_attention", "sliding"), LayerKind.SLIDING),
    **dict.fromkeys(("linear_attention", "mamba", "conv", "recurrent", "kda", "M", "m"), LayerKind.STATE),
    **dict.fromkeys(("moe", "mlp", "E", "-", "identity"), LayerKind.NONE),
    "chunked_attention": LayerKind.CHUNKED,
    "hybrid": LayerKind.HYBRID,
}
# Every n-th layer attends to all tokens: the field that says n, its default, and what the others are.
_PERIODS: Mapping[str, tuple[str, int, LayerKind]] = {
    "afmoe": ("global_attn_every_n_layers", 4, LayerKind.SLIDING),
    "cohere2": ("sliding_window_pattern", 4, LayerKind.SLIDING),
    "cohere2_moe": ("sliding_window_pattern", 4, LayerKind.SLIDING),
    "exaone4": ("sliding_window_pattern", 4, LayerKind.SLIDING),
    "exaone_moe": ("sliding_window_pattern", 4, LayerKind.SLIDING),
    "gemma2": ("", 2, LayerKind.SLIDING),
    "gemma3_text": ("sliding_window_pattern", 6, LayerKind.SLIDING),
    "gemma3n_text": ("", 5, LayerKind.SLIDING),
    "gemma4_text": ("", 6, LayerKind.SLIDING),
    "gemma4_unified_text": ("", 6, LayerKind.SLIDING),
    "glm5_next_text": ("", 4, LayerKind.STATE),
    "gpt_oss": ("", 2, LayerKind.SLIDING),
    "muse_glimmer_text": ("", 4, LayerKind.SLIDING),
    "olmo3": ("", 4, LayerKind.SLIDING),
    "olmo_hybrid": ("", 4, LayerKind.STATE),
    "plamo3": ("sliding_window_pattern", 8, LayerKind.SLIDING),
    "qwen3_5_moe_text": ("full_attention_interval", 4, LayerKind.STATE),
    "qwen3_5_text": ("full_attention_interval", 4, LayerKind.STATE),
    "qwen3_next": ("full_attention_interval", 4, LayerKind.STATE),
    "bailing_hybrid": ("layer_group_size", 1, LayerKind.STATE),
    "vaultgemma": ("", 2, LayerKind.SLIDING),
}
_LAST_IS_FULL = frozenset({"gemma4_text", "gemma4_unified_text"})
_ALL_STATE = frozenset({"mamba", "mamba2", "falcon_mamba"})
# Their classes have layer types, their code in the engine attends to everything.
_DEAF = frozenset({"qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen2_vl_text", "qwen2_5_vl_text", "dots1"})


def layer_kinds(config: ModelConfig) -> tuple[LayerKind, ...] | None:
    """Return the kind of every layer; None where their number is not known."""
    kind = config.text.model_type or ""
    count = layer_count(config)
    if count is None:
        return None
    if (own := _FAMILIES.get(kind)) is not None and (found := own(config, count)) is not None:
        return found
    stated = _stated(config)
    if stated is not None and kind not in _DEAF:
        return _with_last(kind, stated[:count] if len(stated) >= count else stated)
    if kind in _ALL_STATE:
        return (LayerKind.STATE,) * count
    return _with_last(kind, _by_period(config, kind, count))


def layer_count(config: ModelConfig) -> int | None:
    """Return the number of layers that the engine builds."""
    if config.text.model_type == "longcat_flash":
        return config.whole("num_layers")
    if config.text.model_type == "nemotron_h":  # the list or the pattern counts, not the number
        words = config.listed("layers_block_type") or config.word("hybrid_override_pattern")
        if words:
            return len(words)
    return config.whole("num_hidden_layers")


def model_window(config: ModelConfig) -> int | None:
    """Return the window of a model whose layers all slide, or none does by name."""
    words = config.listed("layer_types")
    window = config.whole("sliding_window")
    if not window or (words is not None and any(word != "sliding_attention" for word in words)):
        return None
    if words is None and config.text.model_type in _PERIODS:
        return None
    if config.text.known.defaults.get("use_sliding_window") is False and not _slides(config):
        return None
    return window


def _slides(config: ModelConfig) -> bool:
    """Of Qwen: the first `max_window_layers` attend to everything, and the engine takes all or none."""
    return config.flag("use_sliding_window") and not config.whole("max_window_layers")


def _stated(config: ModelConfig) -> tuple[LayerKind, ...] | None:
    words = config.listed("layers_block_type", "layer_types")
    if words is None:
        return None
    return tuple(_WORDS.get(str(word), LayerKind.FULL) for word in words)


def _by_period(config: ModelConfig, kind: str, count: int) -> tuple[LayerKind, ...]:
    field, default, others = _PERIODS.get(kind, ("", 1, LayerKind.FULL))
    period = (config.whole(field, f"_{field}") if field else None) or default
    return tuple(LayerKind.FULL if (index + 1) % period == 0 else others for index in range(count))


def _with_last(kind: str, kinds: tuple[LayerKind, ...]) -> tuple[LayerKind, ...]:
    return (*kinds[:-1], LayerKind.FULL) if kind in _LAST_IS_FULL and kinds else kinds


def _llama4(config: ModelConfig, count: int) -> tuple[LayerKind, ...] | None:
    """Layers without RoPE attend to everything, the others within a chunk."""
    if not config.whole("attention_chunk_size"):
        return (LayerKind.FULL,) * count
    interval = config.whole("no_rope_layer_interval") or 4
    flags = config.listed("no_rope_layers") or [int((index + 1) % interval != 0) for index in range(count)]
    return tuple(LayerKind.CHUNKED if flag else LayerKind.FULL for flag in flags[:count])


def _jamba(config: ModelConfig, count: int) -> tuple[LayerKind, ...] | None:
    period, offset = config.whole("attn_layer_period") or 8, config.whole("attn_layer_offset") or 0
    return tuple(LayerKind.FULL if i % period == offset else LayerKind.STATE for i in range(count))


def _falcon_h1(_config: ModelConfig, count: int) -> tuple[LayerKind, ...] | None:
    return (LayerKind.HYBRID,) * count


def _zamba2(config: ModelConfig, count: int) -> tuple[LayerKind, ...] | None:
    """Each layer has a state; the hybrid ones attend besides."""
    listed = config.listed("layers_block_type")
    ids = set(config.listed("hybrid_layer_ids") or ())
    hybrid = [word == "hybrid" for word in listed] if listed else [i in ids for i in range(count)]
    return tuple(LayerKind.HYBRID if is_hybrid else LayerKind.STATE for is_hybrid in hybrid)


def _kimi_linear(config: ModelConfig, count: int) -> tuple[LayerKind, ...] | None:
    """Its lists count from one."""
    linear = set(config.mapping("linear_attn_config").get("kda_layers") or ())
    return tuple(LayerKind.STATE if i + 1 in linear else LayerKind.FULL for i in range(count))


def _lfm2(config: ModelConfig, count: int) -> tuple[LayerKind, ...] | None:
    if config.listed("layer_types"):
        return None
    full = set(config.listed("full_attn_idxs") or range(count))
    return tuple(LayerKind.FULL if i in full else LayerKind.STATE for i in range(count))


def _nemotron_nas(config: ModelConfig, count: int) -> tuple[LayerKind, ...] | None:
    blocks = config.listed("block_configs") or ()
    quiet = [bool((block.get("attention") or {}).get("no_op")) for block in blocks]
    linear = [bool((block.get("attention") or {}).get("replace_with_linear")) for block in blocks]
    return tuple(LayerKind.NONE if q or r else LayerKind.FULL for q, r in zip(quiet, linear, strict=True))[
        :count
    ]


def _nemotron_h(config: ModelConfig, _count: int) -> tuple[LayerKind, ...] | None:
    if config.listed("layers_block_type"):
        return None
    pattern = config.word("hybrid_override_pattern")
    return tuple(_WORDS.get(letter, LayerKind.NONE) for letter in pattern) if pattern else None


def _mimo_v2(config: ModelConfig, count: int) -> tuple[LayerKind, ...] | None:
    pattern = config.listed("hybrid_layer_pattern")
    return (
        None
        if pattern is None
        else tuple(LayerKind.SLIDING if flag == 1 else LayerKind.FULL for flag in pattern)[:count]
    )


def _granite(config: ModelConfig, count: int) -> tuple[LayerKind, ...] | None:
    """A granite hybrid without a list is all Mamba."""
    return None if config.listed("layer_types", "layers_block_type") else (LayerKind.STATE,) * count


def _gpt_oss(_config: ModelConfig, count: int) -> tuple[LayerKind, ...] | None:
    """Every other layer slides, whatever the list says."""
    return tuple(LayerKind.FULL if index % 2 else LayerKind.SLIDING for index in range(count))


def _windows(field: str) -> Callable[[ModelConfig, int], tuple[LayerKind, ...] | None]:
    def kinds(config: ModelConfig, count: int) -> tuple[LayerKind, ...] | None:
        windows: Sequence[object] | None = config.listed(field)
        if windows is None:
            return None
        cycled = [windows[index % len(windows)] for index in range(count)]
        return tuple(LayerKind.SLIDING if as_whole(window) else LayerKind.FULL for window in cycled)

    return kinds


_FAMILIES: Mapping[str, Callable[[ModelConfig, int], tuple[LayerKind, ...] | None]] = {
    "falcon_h1": _falcon_h1,
    "gpt_oss": _gpt_oss,
    "granitemoehybrid": _granite,
    "jamba": _jamba,
    "kimi_linear": _kimi_linear,
    "lfm2": _lfm2,
    "lfm2_moe": _lfm2,
    "llama4_text": _llama4,
    "mimo_v2": _mimo_v2,
    "mimo_v2_flash": _mimo_v2,
    "nemotron-nas": _nemotron_nas,
    "nemotron_h": _nemotron_h,
    "plamo3": _windows("interleaved_sliding_window"),
    "zamba2": _zamba2,
}
