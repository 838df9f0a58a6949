"""The weights of layers that keep a state: Mamba, gated delta nets, Kimi's delta attention, convolutions."""

from collections.abc import Callable, Iterator, Mapping
from math import ceil

from nim.models.config.model_config import ModelConfig, as_size
from nim.models.weights.parts.model_family_properties import Family
from nim.models.weights.parts.read_required_sizes import UnknownSizeError, size
from nim.models.weights.tensor_parallel_split import Share, undivided
from nim.models.weights.weight_matrices import Linear, column, replicated, row

_MAMBA_HEADS, _GROUPS = "{} Mamba heads", "{} Mamba groups"
_LINEAR_VALUES = "{} linear value heads"
_LINEAR_HEADS = "{} linear attention heads"


def mixer_modules(config: ModelConfig, family: Family) -> Iterator[Linear]:
    """Yield the matrices of a recurrent layer's mixer; raise `UnknownSizeError` for unknown families."""
    read = _FAMILIES.get(config.text.model_type or "")
    if read is None:
        raise UnknownSizeError("mixer")
    yield from read(config, family.mixer)


def _mamba1(config: ModelConfig, prefix: str) -> Iterator[Linear]:
    """Yield the matrices of a Mamba mixer."""
    hidden = size(config, "hidden_size")
    inner = config.first_integer("intermediate_size") if config.has("state_size") else None
    inner = inner or size(config, "mamba_expand", "expand") * hidden
    step = config.first_integer("mamba_dt_rank", "time_step_rank") or ceil(hidden / 16)
    state = size(config, "mamba_d_state", "state_size")
    yield column(f"{prefix}.in_proj", hidden, inner, inner)
    yield row(f"{prefix}.x_proj", inner, step + 2 * state)
    yield column(f"{prefix}.dt_proj", step, inner)
    yield column(f"{prefix}.A", state, inner)
    yield row(f"{prefix}.out_proj", inner, hidden)


def _mamba2(prefix: str, *, hidden: int, inner: int, heads: int, groups: int, state: int) -> Iterator[Linear]:
    """Yield the two matrices of a Mamba 2 mixer. A single group is on every rank; several are divided."""
    of_heads, of_groups = Share(heads, inner // heads, _MAMBA_HEADS), Share(groups, state, _GROUPS)
    if groups == 1:
        of_groups = undivided(state)
    outputs = (of_heads, of_heads, of_groups, of_groups, Share(heads, 1, _MAMBA_HEADS))
    yield Linear(name=f"{prefix}.in_proj", inputs=undivided(hidden), outputs=outputs)
    yield Linear(name=f"{prefix}.out_proj", inputs=of_heads, outputs=(undivided(hidden),))


def _nemotron_h(config: ModelConfig, prefix: str) -> Iterator[Linear]:
    """Return an iterator of Mamba 2's matrices, sizes by Nemotron-H's keys."""
    heads = size(config, "mamba_num_heads")
    return _mamba2(
        prefix,
        hidden=size(config, "hidden_size"),
        inner=heads * size(config, "mamba_head_dim"),
        heads=heads,
        groups=size(config, "n_groups"),
        state=size(config, "ssm_state_size"),
    )


def _mamba2_model(config: ModelConfig, prefix: str) -> Iterator[Linear]:
    """Return an iterator of Mamba 2's matrices, sizes by its own keys."""
    hidden = size(config, "hidden_size")
    return _mamba2(
        prefix,
        hidden=hidden,
        inner=size(config, "expand") * hidden,
        heads=size(config, "num_heads"),
        groups=size(config, "n_groups"),
        state=size(config, "state_size"),
    )


def _named_mamba2(config: ModelConfig, prefix: str) -> Iterator[Linear]:
    """Return an iterator of Mamba 2's matrices, sizes by keys of Bamba, Granite, Falcon-H1, Zamba 2."""
    hidden = size(config, "hidden_size")
    return _mamba2(
        prefix,
        hidden=hidden,
        inner=config.first_integer("mamba_d_ssm") or int((config.number("mamba_expand") or 2) * hidden),
        heads=size(config, "mamba_n_heads", "n_mamba_heads"),
        groups=size(config, "mamba_n_groups", "mamba_ngroups"),
        state=size(config, "mamba_d_state"),
    )


def _gated_delta(config: ModelConfig, prefix: str) -> Iterator[Linear]:
    """Yield the matrices of a gated delta net."""
    hidden = size(config, "hidden_size")
    keys = Share(
        size(config, "linear_num_key_heads") * size(config, "linear_key_head_dim"), what="linear keys {} wide"
    )
    count = size(config, "linear_num_value_heads")
    values = Share(count, size(config, "linear_value_head_dim"), _LINEAR_VALUES)
    single = Share(count, 1, _LINEAR_VALUES)
    outputs = (keys, keys, values, values)
    yield Linear(name=f"{prefix}.in_proj_qkvz", inputs=undivided(hidden), outputs=outputs)
    yield Linear(name=f"{prefix}.in_proj_ba", inputs=undivided(hidden), outputs=(single, single))
    yield Linear(name=f"{prefix}.out_proj", inputs=values, outputs=(undivided(hidden),))


def _kimi_delta(config: ModelConfig, prefix: str) -> Iterator[Linear]:
    """Yield the matrices of Kimi's delta attention; a full-rank gate is merged, a low-rank one is two."""
    linear, hidden = config.mapping("linear_attn_config"), size(config, "hidden_size")
    count, unit = as_size(linear.get("num_heads")), as_size(linear.get("head_dim"))
    if count is None or unit is None:
        raise UnknownSizeError("linear_attn_config")
    heads, single = Share(count, unit, _LINEAR_HEADS), Share(count, 1, _LINEAR_HEADS)
    full_gate = bool(linear.get("use_full_rank_gate"))
    merged = (*(heads,) * (4 if full_gate else 3), undivided(unit), single)
    yield Linear(name=f"{prefix}.in_proj_qkvgfab", inputs=undivided(hidden), outputs=merged)
    yield Linear(name=f"{prefix}.f_b_proj", inputs=undivided(unit), outputs=(heads,))
    if not full_gate:
        yield replicated(f"{prefix}.g_a_proj", hidden, unit)
        yield Linear(name=f"{prefix}.g_b_proj", inputs=undivided(unit), outputs=(heads,))
    yield Linear(name=f"{prefix}.o_proj", inputs=heads, outputs=(undivided(hidden),))


def _short_convolution(config: ModelConfig, prefix: str) -> Iterator[Linear]:
    """Yield the two matrices of a short convolution layer."""
    hidden = size(config, "hidden_size")
    width = config.first_integer("conv_dim") or hidden
    yield column(f"{prefix}.in_proj", hidden, width, width, width)
    yield row(f"{prefix}.out_proj", width, hidden)


_FAMILIES: Mapping[str, Callable[[ModelConfig, str], Iterator[Linear]]] = {
    "falcon_h1": _named_mamba2,
    "falcon_mamba": _mamba1,
    "granitemoehybrid": _named_mamba2,
    "jamba": _mamba1,
    "kimi_linear": _kimi_delta,
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
