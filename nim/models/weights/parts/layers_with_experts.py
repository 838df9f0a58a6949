"""Which layers of a model have routed experts."""

from collections.abc import Callable

from nim.models.config.model_config import ModelConfig

# Layers before this one are dense.
_FIRST_SPARSE = ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index", "n_dense_layers")
_PERIODS = ("decoder_sparse_step", "moe_layer_interval", "interleave_moe_layer_step")


def sparse_layers(config: ModelConfig, count: int) -> tuple[bool, ...]:
    """Return a tuple of `count` bools: whether each layer has routed experts, if the model has any."""
    stated = _stated(config)
    if stated is not None:
        return tuple(map(stated, range(count)))
    first, dense = config.first_integer(*_FIRST_SPARSE) or 0, set(config.first_list("mlp_only_layers") or ())
    in_period = _period(config)
    return tuple(index >= first and index not in dense and in_period(index) for index in range(count))


def _stated(config: ModelConfig) -> Callable[[int], bool] | None:
    """Return a function "layer index → has experts", by a list or flag of the configuration; None without."""
    if config.text.model_type == "nemotron_h":
        words = config.first_list("layers_block_type") or tuple(
            config.first_string("hybrid_override_pattern") or ()
        )
        return lambda index: words[index] in ("E", "moe")
    flags = config.first_list("moe_layer_freq", "mlp_layer_types")
    if flags is not None:
        return lambda index: index >= len(flags) or flags[index] in (1, True, "sparse", "moe")
    enumerated = config.first_string("moe_layers_enum")
    listed = config.first_list("moe_layers", "moe_layers_enum") or (enumerated or "").split(",")
    chosen = {str(each).strip() for each in listed} - {""}
    if chosen:
        return lambda index: str(index) in chosen
    if config.has("enable_moe_block"):
        return lambda _index: config.flag("enable_moe_block")
    return None


def _period(config: ModelConfig) -> Callable[[int], bool]:
    """Return a function "layer index → has experts", by a period and offset; always True without one."""
    if (period := config.first_integer("expert_layer_period")) is not None:
        offset = config.first_integer("expert_layer_offset") or 0
        return lambda index: index % period == offset
    if (frequency := config.first_integer("moe_layer_freq")) is not None:
        return lambda index: index % frequency == 0
    step = config.first_integer(*_PERIODS)
    if step is None:
        return lambda _index: True
    return lambda index: step > 0 and (index + 1) % step == 0
