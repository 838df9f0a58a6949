"""State tensors per sequence of Mamba, linear attention and short convolutions, by family."""

from collections.abc import Callable, Mapping

from nim.models.config.model_config import ModelConfig, as_size
from nim.models.types import StateTensor

Tensors = tuple[StateTensor, ...]


def state_tensors(config: ModelConfig) -> Tensors | None:
    """Return the `StateTensor`s that a recurrent layer keeps per sequence; None if unknown."""
    read = _FAMILIES.get(config.text.model_type or "")
    try:
        return read(config) if read else None
    except _UnknownSizeError:
        return None


def state_checkpoints(config: ModelConfig) -> int:
    """Return the number of extra state copies a layer keeps while a prompt is cached: 0 or 1."""
    if config.text.model_type == "kimi_linear":  # of these kernels only those with a bounded gate
        linear = config.mapping("linear_attn_config")
        return int(linear.get("gate_lower_bound") is not None and linear.get("head_dim") == 128)
    return int(config.text.model_type in _CHECKPOINTING)


class _UnknownSizeError(Exception):
    """A size that the state needs is not in the configuration."""


def _size(config: ModelConfig, *names: str) -> int:
    """Return the first of these keys' values that is a whole number; raise _UnknownSizeError without one."""
    found = config.first_integer(*names)
    if found is None:
        raise _UnknownSizeError
    return found


def _mamba1(config: ModelConfig) -> Tensors:
    """Return Mamba's two state tensors: convolution and recurrent state."""
    inner = config.first_integer("intermediate_size") if config.has("state_size") else None
    if inner is None:
        inner = _size(config, "mamba_expand", "expand") * _size(config, "hidden_size")
    kernel = _size(config, "mamba_d_conv", "conv_kernel")
    return (
        StateTensor(elements=inner * (kernel - 1)),
        StateTensor(elements=inner * _size(config, "mamba_d_state", "state_size"), recurrent=True),
    )


def _mamba2(
    inner: int, groups: int, heads: int, head_size: int, state: int, kernel: int, dtype: str | None = None
) -> Tensors:
    """Return Mamba 2's two state tensors (convolution, recurrent state) from their sizes."""
    return (
        StateTensor(elements=inner * (kernel - 1), groups=groups, group_elements=2 * state * (kernel - 1)),
        StateTensor(elements=heads * head_size * state, recurrent=True, dtype=dtype),
    )


def _nemotron_h(config: ModelConfig) -> Tensors:
    """Return Mamba 2's two state tensors, sizes by Nemotron-H's configuration keys."""
    heads, size = _size(config, "mamba_num_heads"), _size(config, "mamba_head_dim")
    groups, state = _size(config, "n_groups"), _size(config, "ssm_state_size")
    dtype = config.first_string("mamba_ssm_cache_dtype") or "float32"
    return _mamba2(heads * size, groups, heads, size, state, _size(config, "conv_kernel"), dtype)


def _mamba2_model(config: ModelConfig) -> Tensors:
    """Return Mamba 2's two state tensors, sizes by its own configuration keys."""
    inner = _size(config, "expand") * _size(config, "hidden_size")
    heads, size = _size(config, "num_heads"), _size(config, "head_dim")
    return _mamba2(
        inner,
        _size(config, "n_groups"),
        heads,
        size,
        _size(config, "state_size"),
        _size(config, "conv_kernel"),
    )


def _named_mamba2(config: ModelConfig) -> Tensors:
    """Return Mamba 2's two state tensors, sizes by the keys of Bamba, Granite, Falcon-H1, Zamba 2."""
    inner = config.first_integer("mamba_d_ssm") or int(
        (config.number("mamba_expand") or 2) * _size(config, "hidden_size")
    )
    heads = _size(config, "mamba_n_heads", "n_mamba_heads")
    size = config.first_integer("mamba_d_head", "mamba_headdim") or inner // heads
    groups, state = _size(config, "mamba_n_groups", "mamba_ngroups"), _size(config, "mamba_d_state")
    return _mamba2(inner, groups, heads, size, state, _size(config, "mamba_d_conv"))


def _gated_delta(config: ModelConfig) -> Tensors:
    """Return the state tensors of a gated delta net layer."""
    keys, values = _size(config, "linear_num_key_heads"), _size(config, "linear_num_value_heads")
    key_size, value_size = _size(config, "linear_key_head_dim"), _size(config, "linear_value_head_dim")
    width = 2 * keys * key_size + values * value_size
    return (
        StateTensor(elements=width * (_size(config, "linear_conv_kernel_dim") - 1)),
        StateTensor(
            elements=values * value_size * key_size,
            recurrent=True,
            dtype=config.first_string("mamba_ssm_dtype"),
        ),
    )


def _kda(heads: int, size: int, kernel: int) -> Tensors:
    """Return the state tensors of Kimi's delta attention from their sizes."""
    return (
        StateTensor(elements=3 * heads * size * (kernel - 1)),
        StateTensor(elements=heads * size * size, recurrent=True, dtype="float32"),
    )


def _kimi_linear(config: ModelConfig) -> Tensors:
    """Return the state tensors of a Kimi Linear layer."""
    linear = config.mapping("linear_attn_config")
    sizes = [as_size(linear.get(name)) for name in ("num_heads", "head_dim", "short_conv_kernel_size")]
    heads, size, kernel = sizes
    if heads is None or size is None or kernel is None:
        raise _UnknownSizeError
    return _kda(heads, size, kernel)


def _glm5_next(config: ModelConfig) -> Tensors:
    """Return the state tensors of a GLM-5-Next layer."""
    heads, size = _size(config, "linear_num_heads"), _size(config, "linear_head_dim")
    return _kda(heads, size, _size(config, "linear_conv_kernel_dim"))


def _bailing_hybrid(config: ModelConfig) -> Tensors:
    """Return the state tensors of a layer of Bailing's hybrid models."""
    heads = _size(config, "num_attention_heads")
    size = config.first_integer("head_dim") or _size(config, "hidden_size") // heads
    if config.has("short_conv_kernel_size"):
        return _kda(heads, size, _size(config, "short_conv_kernel_size"))
    return (StateTensor(elements=heads * size * size),)


def _short_convolution(config: ModelConfig) -> Tensors:
    """Return the state tensor (a tuple of one) of a short convolution."""
    width = config.first_integer("conv_dim") or _size(config, "hidden_size")
    return (StateTensor(elements=width * (_size(config, "conv_L_cache") - 1)),)


# Their kernels can write a state out in the middle of a prompt: the engine keeps a block for it.
_CHECKPOINTING = frozenset({
    "falcon_h1", "granitemoehybrid", "mamba2", "nemotron_h", "zamba2",
})  # fmt: skip
_FAMILIES: Mapping[str, Callable[[ModelConfig], Tensors]] = {
    "bailing_hybrid": _bailing_hybrid,
    "falcon_h1": _named_mamba2,
    "falcon_mamba": _mamba1,
    "glm5_next_text": _glm5_next,
    "granitemoehybrid": _named_mamba2,
    "jamba": _mamba1,
    "kimi_linear": _kimi_linear,
    "lfm2": _short_convolution,
    "lfm2_moe": _short_convolution,
    "mamba": _mamba1,
    "mamba2": _mamba2_model,
    "nemotron_h": _nemotron_h,
    "olmo_hybrid": _gated_delta,
    "qwen3_5_moe_text": _gated_delta,
    "qwen3_5_text": _gated_delta,
    "qwen3_next": _gated_delta,
    "zamba2": _named_mamba2,
}
