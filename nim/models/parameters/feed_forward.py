"""The weights of feed-forward networks: dense, and mixtures of experts with their shared ones."""

from collections.abc import Iterator
from dataclasses import dataclass

from nim.models.config import ModelConfig, as_whole
from nim.models.parameters.families import Family
from nim.models.parameters.modules import Experts, Linear, Module, column, replicated, row
from nim.models.parameters.shares import Share
from nim.models.parameters.sizes import UnknownSizeError, size

_COUNTS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
_WIDTHS = ("moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size", "intermediate_size")
_DENSE_WIDTHS = ("intermediate_size_mlp", "dense_intermediate_size", "intermediate_size", "ffn_hidden_size")
_SHARED_WIDTHS = ("shared_expert_intermediate_size", "shared_intermediate_size", "share_expert_dim")
_SHARED_COUNTS = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
# Layers before this one are dense.
_FIRST_SPARSE = ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index", "n_dense_layers")
_MLP, _EXPERT, _SHARED = "an MLP width of {}", "an expert width of {}", "a shared expert of {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Routed experts and what goes with them in one layer."""

    count: int
    width: int
    shared_width: int = 0
    latent: int | None = None  # channels that the experts work on, where they are fewer than the model's


def feed_forward_modules(config: ModelConfig, family: Family, index: int) -> Iterator[Module]:
    """Yield the modules of one layer's feed-forward network."""
    mixture = read_mixture(config) if has_experts(config, index) else None
    if mixture is None or family.experts is not None:
        yield from dense(config, family, f"layers.{index}.{family.feed_forward}", dense_width(config))
    if mixture is not None:
        yield from _sparse(config, family, mixture, f"layers.{index}")


def dense(config: ModelConfig, family: Family, prefix: str, width: int, what: str = _MLP) -> Iterator[Linear]:
    """Yield a dense network: up (merged with its gate) and down."""
    hidden = size(config, "hidden_size")
    if family.gated:
        yield column(f"{prefix}.gate_up_proj", hidden, width, width, what=what)
    else:
        yield column(f"{prefix}.up_proj", hidden, width, what=what)
    yield row(f"{prefix}.down_proj", width, hidden, what=what)


def dense_width(config: ModelConfig) -> int:
    """Return the width of dense layers; four times the model's where a family leaves that open."""
    return config.whole(*_DENSE_WIDTHS) or 4 * size(config, "hidden_size")


def _sparse(config: ModelConfig, family: Family, mixture: Mixture, layer: str) -> Iterator[Module]:
    prefix = f"{layer}.{family.sparse or family.feed_forward}"
    hidden = size(config, "hidden_size")
    yield replicated(f"{prefix}.gate", hidden, mixture.count, bits=16)
    if mixture.latent:
        yield replicated(f"{prefix}.fc1_latent_proj", hidden, mixture.latent)
        yield replicated(f"{prefix}.fc2_latent_proj", mixture.latent, hidden)
    if mixture.shared_width:
        yield from dense(config, family, f"{prefix}.{family.shared}", mixture.shared_width, _SHARED)
    yield Experts(
        name=f"{layer}.{family.experts}" if family.experts else f"{prefix}.experts",
        count=mixture.count,
        hidden=mixture.latent or hidden,
        inner=Share(mixture.width, what=_EXPERT),
        gated=family.gated,
    )


def read_mixture(config: ModelConfig) -> Mixture | None:
    """Return the experts of a layer that has some; None where the model has none."""
    inner = config.mapping("ffn_config")  # dbrx
    count = _first_whole(config, _COUNTS) or as_whole(inner.get("moe_num_experts"))
    if not count or count < 2:
        return None
    width = _first_whole(config, _WIDTHS) or as_whole(inner.get("ffn_hidden_size"))
    if width is None:
        raise UnknownSizeError("moe_intermediate_size")
    latent = config.whole("moe_latent_size", "routed_expert_hidden_size")
    return Mixture(count=count, width=width, shared_width=_shared_width(config, width), latent=latent)


def _first_whole(config: ModelConfig, names: tuple[str, ...]) -> int | None:
    """A number, or the largest of a list that has one for each layer."""
    found = config.whole(*names)
    listed = config.listed(*names) if found is None else None
    wholes = [value for each in listed or () if (value := as_whole(each))]
    return found or (max(wholes) if wholes else None)


def _shared_width(config: ModelConfig, width: int) -> int:
    if config.text.model_type == "llama4_text":
        return width
    count = config.whole(*_SHARED_COUNTS)
    own = config.whole("moe_shared_expert_intermediate_size")
    if own is not None:
        return own * (1 if count is None else count)
    stated = config.whole(*_SHARED_WIDTHS)
    return stated if stated is not None else (count or 0) * width


def has_experts(config: ModelConfig, index: int) -> bool:
    """Return whether layer `index` has routed experts, if the model has any."""
    if config.text.model_type == "nemotron_h":
        words = config.listed("layers_block_type") or config.word("hybrid_override_pattern") or ""
        return words[index : index + 1] in ("E", ("moe",))
    if (stated := _stated(config, index)) is not None:
        return stated
    first = config.whole(*_FIRST_SPARSE)
    if first is not None and index < first:
        return False
    if index in (config.listed("mlp_only_layers") or ()):
        return False
    return _by_period(config, index)


def _stated(config: ModelConfig, index: int) -> bool | None:
    flags = config.listed("moe_layer_freq", "mlp_layer_types")
    if flags is not None:
        return flags[index] in (1, True, "sparse", "moe") if index < len(flags) else True
    chosen = config.listed("moe_layers", "moe_layers_enum")
    if chosen is not None:
        return index in chosen
    enumerated = config.word("moe_layers_enum")
    if enumerated is not None:
        return str(index) in [part.strip() for part in enumerated.split(",")]
    if config.has("enable_moe_block"):
        return config.flag("enable_moe_block")
    return None


def _by_period(config: ModelConfig, index: int) -> bool:
    if (period := config.whole("expert_layer_period")) is not None:
        return index % period == (config.whole("expert_layer_offset") or 0)
    if (period := config.whole("moe_layer_freq")) is not None:
        return index % period == 0
    period = config.whole("decoder_sparse_step", "moe_layer_interval", "interleave_moe_layer_step")
    return (index + 1) % period == 0 if period else period is None
