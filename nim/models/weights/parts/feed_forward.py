"""The weights of feed-forward networks: dense, and mixtures of experts with their shared ones."""

from collections.abc import Iterator
from math import ceil

from nim.frozen_dataclass import frozen_dataclass
from nim.models.config.model_config import ModelConfig, as_size
from nim.models.weights.parts.family_extras import shares_keys
from nim.models.weights.parts.model_family_properties import Family
from nim.models.weights.parts.read_required_sizes import UnknownSizeError, size
from nim.models.weights.tensor_parallel_split import Share, undivided
from nim.models.weights.weight_matrices import Experts, Linear, Module, replicated

_COUNTS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
_WIDTHS = ("moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size", "intermediate_size")
_DENSE_WIDTHS = (
    "intermediate_size_mlp",
    "dense_intermediate_size",
    "intermediate_size",
    "ffn_hidden_size",
    "ffn_dim",
)
_SHARED_WIDTHS = ("shared_expert_intermediate_size", "shared_intermediate_size", "share_expert_dim")
_SHARED_COUNTS = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
# Families that refuse more ranks than experts.
_EXPERT_FOR_EACH_RANK = frozenset({
    "cohere2_moe", "ernie4_5_moe", "ernie4_5_vl_moe_text", "exaone_moe", "hy_v3", "hy_v4", "k2_horizon",
    "laguna", "lfm2_moe", "mimo_v2", "mimo_v2_flash", "minimax_m2", "minimax_m3", "minimax_m3_text",
    "minimax_m3_vl_text", "qwen2_moe", "qwen3_5_moe_text", "qwen3_moe", "qwen3_next", "qwen3_omni_moe_text",
    "qwen3_vl_moe_text", "step3_text", "step3p5",
})  # fmt: skip
_MLP, _EXPERT, _SHARED = "an MLP width of {}", "an expert width of {}", "a shared expert of {}"


@frozen_dataclass
class Mixture:
    """Routed experts and what goes with them in one layer."""

    count: int
    width: int
    shared_width: int = 0
    latent: int | None = None  # channels that the experts work on, where they are fewer than the model's


def feed_forward_modules(
    config: ModelConfig, family: Family, index: int, *, sparse: bool
) -> Iterator[Module]:
    """Yield one layer's feed-forward matrices, with router and experts where it is `sparse`."""
    if config.text.model_type == "nemotron-nas":
        yield from _searched(config, family, index)
        return
    mixture = read_mixture(config) if sparse else None
    if mixture is None or family.experts is not None:
        width = Share(dense_width(config, index), what=_MLP, divided=family.splits_feed_forward)
        yield from dense(config, family, family.feed_forward, width)
    if mixture is not None:
        yield from _sparse(config, family, mixture)


def _searched(config: ModelConfig, family: Family, index: int) -> Iterator[Module]:
    """Yield the network of Nemotron-NAS block `index`, whose width is its own; nothing without one."""
    block = (config.first_list("block_configs") or ())[index].get("ffn") or {}
    width, multiple = as_size(block.get("intermediate_size")), block.get("ffn_mult")
    if isinstance(multiple, int | float) and multiple > 0:
        width = ceil(int(2 * multiple * size(config, "hidden_size") / 3) / 256) * 256
    if not block.get("no_op") and not block.get("replace_with_linear") and width:
        yield from dense(config, family, "mlp", Share(width, what=_MLP))


def dense(config: ModelConfig, family: Family, prefix: str, width: Share) -> Iterator[Linear]:
    """Yield the two matrices of a dense network: up (merged with its gate) and down."""
    hidden, up = undivided(size(config, "hidden_size")), "gate_up_proj" if family.gated else "up_proj"
    yield Linear(name=f"{prefix}.{up}", inputs=hidden, outputs=(width,) * (1 + family.gated))
    yield Linear(name=f"{prefix}.down_proj", inputs=width, outputs=(hidden,))


def dense_width(config: ModelConfig, index: int) -> int:
    """Return the width of dense layer `index`; four times the hidden size if none is stated."""
    listed = config.first_list(*_DENSE_WIDTHS) or ()
    own = as_size(listed[index]) if index < len(listed) else None
    if config.flag("use_double_wide_mlp") and shares_keys(config, index):
        return 2 * size(config, *_DENSE_WIDTHS)
    return own or config.first_integer(*_DENSE_WIDTHS) or 4 * size(config, "hidden_size")


def _sparse(config: ModelConfig, family: Family, mixture: Mixture) -> Iterator[Module]:
    """Yield a sparse layer's router, shared experts and routed experts."""
    prefix = family.sparse or family.feed_forward
    hidden = size(config, "hidden_size")
    yield replicated(f"{prefix}.gate", hidden, mixture.count, bits=16)
    if mixture.latent:
        yield replicated(f"{prefix}.fc1_latent_proj", hidden, mixture.latent)
        yield replicated(f"{prefix}.fc2_latent_proj", mixture.latent, hidden)
    if mixture.shared_width:
        shared = Share(mixture.shared_width, what=_SHARED, blocks=family.shared_blocks)
        yield from dense(config, family, f"{prefix}.{family.shared}", shared)
    yield Experts(
        name=family.experts or f"{prefix}.experts",
        count=mixture.count,
        hidden=mixture.latent or hidden,
        inner=Share(mixture.width, what=_EXPERT, least=family.least_expert_width),
        gated=family.gated,
        one_each=config.text.model_type in _EXPERT_FOR_EACH_RANK,
    )


def read_mixture(config: ModelConfig) -> Mixture | None:
    """Return the routed experts of a sparse layer as `Mixture`; None for a dense model."""
    inner = config.mapping("ffn_config")  # dbrx
    count = _first_whole(config, _COUNTS) or as_size(inner.get("moe_num_experts"))
    if not count or count < 2:
        return None
    width = _first_whole(config, _WIDTHS) or as_size(inner.get("ffn_hidden_size"))
    if width is None:
        raise UnknownSizeError("moe_intermediate_size")
    latent = config.first_integer("moe_latent_size", "routed_expert_hidden_size")
    return Mixture(count=count, width=width, shared_width=_shared_width(config, width), latent=latent)


def _first_whole(config: ModelConfig, names: tuple[str, ...]) -> int | None:
    """Return the first whole number among these keys, or the largest of a list; None without."""
    found = config.first_integer(*names)
    listed = config.first_list(*names) if found is None else None
    wholes = [value for each in listed or () if (value := as_size(each))]
    return found or (max(wholes) if wholes else None)


def _shared_width(config: ModelConfig, width: int) -> int:
    """Return the width of all shared experts together; 0 if there are none."""
    if config.text.model_type == "llama4_text":
        return width
    count = config.first_integer(*_SHARED_COUNTS)
    own = config.first_integer("moe_shared_expert_intermediate_size")
    if own is not None:
        return own * (1 if count is None else count)
    stated = config.first_integer(*_SHARED_WIDTHS)
    return stated if stated is not None else (count or 0) * width
