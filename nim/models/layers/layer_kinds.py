"""The kind of each layer (full, sliding, state, …) by a configuration's lists and patterns."""

from collections.abc import Mapping

from nim.models.config.model_config import ModelConfig
from nim.models.layers.layer_kinds_by_family import FAMILIES, LAYER_WORDS
from nim.models.types import LayerKind

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
    "vaultgemma": ("", 2, LayerKind.SLIDING),
}
_LAST_IS_FULL = frozenset({"gemma4_text", "gemma4_unified_text"})
_ALL_STATE = frozenset({"mamba", "mamba2", "falcon_mamba"})
# Their classes have layer types, their code in the engine attends to everything.
_DEAF = frozenset({"qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen2_vl_text", "qwen2_5_vl_text", "dots1"})


def layer_kinds(config: ModelConfig) -> tuple[LayerKind, ...] | None:
    """Return a tuple of every layer's `LayerKind` in order; None if the number of layers is unknown."""
    kind = config.text.model_type or ""
    count = layer_count(config)
    if count is None:
        return None
    if (own := FAMILIES.get(kind)) is not None and (found := own(config, count)) is not None:
        return found
    stated = _stated(config)
    if stated is not None and kind not in _DEAF:
        return _with_last(kind, stated[:count] if len(stated) >= count else stated)
    if kind in _ALL_STATE:
        return (LayerKind.STATE,) * count
    return _with_last(kind, _by_period(config, kind, count))


MOST_LAYERS = 2048
"""More are taken for a mistake: the largest published models have some 130."""


def layer_count(config: ModelConfig) -> int | None:
    """Return the number of layers that the engine builds; None if unknown or above `MOST_LAYERS`."""
    if config.text.model_type == "longcat_flash":
        return config.first_integer("num_layers")
    if config.text.model_type == "nemotron_h":  # the list or the pattern counts, not the number
        words = config.first_list("layers_block_type") or config.first_string("hybrid_override_pattern")
        if words:
            return len(words)
    count = config.first_integer("num_hidden_layers")
    return count if count is None or count <= MOST_LAYERS else None


def model_window(config: ModelConfig) -> int | None:
    """Return the sliding window in tokens if it holds for every layer of the model; None if not."""
    words = config.first_list("layer_types")
    window = config.first_integer("sliding_window")
    if not window or (words is not None and any(word != "sliding_attention" for word in words)):
        return None
    if words is None and config.text.model_type in _PERIODS:
        return None
    return window if _slides(config) else None


def _slides(config: ModelConfig) -> bool:
    """Return whether the sliding window is switched on, by the class's default or the configuration.

    Of Qwen: the first `max_window_layers` attend to everything, and the engine takes all or none.
    """
    defaults = config.text.known.defaults
    if not defaults:
        return config.get("use_sliding_window") is not False
    if defaults.get("use_sliding_window") is not False:
        return True
    return config.flag("use_sliding_window") and not config.first_integer("max_window_layers")


def _stated(config: ModelConfig) -> tuple[LayerKind, ...] | None:
    """Return the layers' kinds by the list in the configuration; None without a list."""
    words = config.first_list("layers_block_type", "layer_types")
    if words is None:
        return None
    return tuple(LAYER_WORDS.get(str(word), LayerKind.FULL) for word in words)


def _by_period(config: ModelConfig, kind: str, count: int) -> tuple[LayerKind, ...]:
    """Return a tuple of `count` kinds: full attention in every n-th layer, by the configuration's period."""
    field, default, others = _PERIODS.get(kind, ("", 1, LayerKind.FULL))
    period = (config.first_integer(field, f"_{field}") if field else None) or default
    return tuple(LayerKind.FULL if (index + 1) % period == 0 else others for index in range(count))


def _with_last(kind: str, kinds: tuple[LayerKind, ...]) -> tuple[LayerKind, ...]:
    """Return the kinds as a tuple, the last one set to full attention for families that have it so."""
    return (*kinds[:-1], LayerKind.FULL) if kind in _LAST_IS_FULL and kinds else kinds
