"""The kind of each layer in model families whose configurations have keys of their own."""

from collections.abc import Callable, Mapping, Sequence

from nim.models.config.model_config import ModelConfig, as_size
from nim.models.types import LayerKind

Kinds = tuple[LayerKind, ...]
LAYER_WORDS: Mapping[str, LayerKind] = {
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


def _llama4(config: ModelConfig, count: int) -> Kinds | None:
    """Return Llama 4's layer kinds: full attention where RoPE is off, chunked attention otherwise."""
    if not config.first_integer("attention_chunk_size"):
        return (LayerKind.FULL,) * count
    interval = config.first_integer("no_rope_layer_interval") or 4
    flags = config.first_list("no_rope_layers") or [
        int((index + 1) % interval != 0) for index in range(count)
    ]
    return tuple(LayerKind.CHUNKED if flag else LayerKind.FULL for flag in flags[:count])


def _jamba(config: ModelConfig, count: int) -> Kinds | None:
    """Return Jamba's layer kinds: attention at a period and offset, states otherwise."""
    period, offset = (
        config.first_integer("attn_layer_period") or 8,
        config.first_integer("attn_layer_offset") or 0,
    )
    return tuple(LayerKind.FULL if i % period == offset else LayerKind.STATE for i in range(count))


def _falcon_h1(_config: ModelConfig, count: int) -> Kinds | None:
    """Return Falcon-H1's layer kinds: attention and a state in every layer."""
    return (LayerKind.HYBRID,) * count


def _zamba2(config: ModelConfig, count: int) -> Kinds | None:
    """Return Zamba 2's layer kinds: hybrid where listed (attention and a state), states otherwise."""
    listed = config.first_list("layers_block_type")
    ids = set(config.first_list("hybrid_layer_ids") or ())
    hybrid = [word == "hybrid" for word in listed] if listed else [i in ids for i in range(count)]
    return tuple(LayerKind.HYBRID if is_hybrid else LayerKind.STATE for is_hybrid in hybrid)


def _kimi_linear(config: ModelConfig, count: int) -> Kinds | None:
    """Return Kimi Linear's layer kinds: states where listed (counted from 1), full attention otherwise."""
    linear = set(config.mapping("linear_attn_config").get("kda_layers") or ())
    return tuple(LayerKind.STATE if i + 1 in linear else LayerKind.FULL for i in range(count))


def _lfm2(config: ModelConfig, count: int) -> Kinds | None:
    """Return LFM2's layer kinds: attention at listed indexes, else convolutions; None with `layer_types`."""
    if config.first_list("layer_types"):
        return None
    full = set(config.first_list("full_attn_idxs") or range(count))
    return tuple(LayerKind.FULL if i in full else LayerKind.STATE for i in range(count))


def _nemotron_nas(config: ModelConfig, count: int) -> Kinds | None:
    """Return Nemotron-NAS's layer kinds: NONE for blocks without attention, full otherwise."""
    blocks = config.first_list("block_configs") or ()
    quiet = [bool((block.get("attention") or {}).get("no_op")) for block in blocks]
    linear = [bool((block.get("attention") or {}).get("replace_with_linear")) for block in blocks]
    return tuple(LayerKind.NONE if q or r else LayerKind.FULL for q, r in zip(quiet, linear, strict=True))[
        :count
    ]


def _nemotron_h(config: ModelConfig, _count: int) -> Kinds | None:
    """Return Nemotron-H's layer kinds by the letters of its pattern; None with a list or without either."""
    if config.first_list("layers_block_type"):
        return None
    pattern = config.first_string("hybrid_override_pattern")
    return tuple(LAYER_WORDS.get(letter, LayerKind.NONE) for letter in pattern) if pattern else None


def _mimo_v2(config: ModelConfig, count: int) -> Kinds | None:
    """Return MiMo V2's layer kinds: sliding where the pattern has 1, else full; None without a pattern."""
    pattern = config.first_list("hybrid_layer_pattern")
    return (
        None
        if pattern is None
        else tuple(LayerKind.SLIDING if flag == 1 else LayerKind.FULL for flag in pattern)[:count]
    )


def _bailing_hybrid(config: ModelConfig, count: int) -> Kinds | None:
    """Return Bailing's layer kinds: full attention in each group's last layer, states otherwise."""
    group = config.first_integer("layer_group_size") or 1
    whole = count // group * group if config.has("short_conv_kernel_size") else count
    return tuple(
        LayerKind.FULL if (index + 1) % group == 0 or index >= whole else LayerKind.STATE
        for index in range(count)
    )


def _granite(config: ModelConfig, count: int) -> Kinds | None:
    """Return states for all layers of Granite hybrids that list no kinds; None if kinds are listed."""
    return None if config.first_list("layer_types", "layers_block_type") else (LayerKind.STATE,) * count


def _gpt_oss(_config: ModelConfig, count: int) -> Kinds | None:
    """Return gpt-oss's layer kinds: sliding and full attention in turn, whatever the list says."""
    return tuple(LayerKind.FULL if index % 2 else LayerKind.SLIDING for index in range(count))


def _windows(field: str) -> Callable[[ModelConfig, int], Kinds | None]:
    """Return a reader of layer kinds: sliding where the list `field` has a window, full otherwise."""

    def kinds(config: ModelConfig, count: int) -> Kinds | None:
        """Return the kinds by the listed windows; None without a list."""
        windows: Sequence[object] | None = config.first_list(field)
        if windows is None:
            return None
        cycled = [windows[index % len(windows)] for index in range(count)]
        return tuple(LayerKind.SLIDING if as_size(window) else LayerKind.FULL for window in cycled)

    return kinds


FAMILIES: Mapping[str, Callable[[ModelConfig, int], Kinds | None]] = {
    "bailing_hybrid": _bailing_hybrid,
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
