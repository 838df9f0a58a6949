"""The numbers of GPUs over which the engine can split a model, and why not over others."""

from collections.abc import Sequence
from dataclasses import replace

from nim.engine.supported_names_catalog import Feature
from nim.models.config.model_config import ModelConfig
from nim.models.config.read_attention_heads import read_heads
from nim.models.layers.layer_kinds import layer_count
from nim.models.supported_features import supports
from nim.models.types import LARGEST
from nim.models.weights.model_weights import ModelWeights
from nim.models.weights.parts.attention import ATTENTION_HEADS, KV_HEADS
from nim.models.weights.parts.feed_forward import read_mixture
from nim.models.weights.parts.model_family_properties import family_of
from nim.models.weights.parts.read_required_sizes import UnknownSizeError
from nim.models.weights.tensor_parallel_split import CannotSplitError, Share
from nim.models.weights.weight_matrices import Ranks


def stages_fault(config: ModelConfig, ranks: Ranks) -> str | None:
    """Return why the engine refuses the pipeline or expert parallelism (text); None if it does not."""
    if ranks.expert_parallel and has_experts(config) is False:
        return "it has no experts: expert parallelism is for mixtures of experts"
    return _pipeline_refusal(config, ranks.pipeline)


def split_fault(config: ModelConfig, weights: ModelWeights | None, ranks: Ranks) -> str | None:
    """Return why these ranks cannot share the model (text with accepted sizes); None if they can.

    Unknown sizes refuse nothing.
    """
    ranks = replace(ranks, pipeline=1)
    what = _refused(config, weights, ranks)
    if what is None:
        return None
    if _refused(config, weights, replace(ranks, data=1)) is not None:
        sizes = accepted_sizes(config, weights, LARGEST, expert_parallel=ranks.expert_parallel)
        return _sentence(what, ranks.tensor, sizes)
    gpus = f"{ranks.expert_splits} GPUs, which is tensor times data parallelism"
    return f"{what} cannot be split over {gpus}: with expert parallelism each GPU has whole experts"


def accepted_sizes(
    config: ModelConfig,
    weights: ModelWeights | None,
    most: int,
    *,
    expert_parallel: bool = False,
    usual_only: bool = False,
) -> tuple[int, ...]:
    """Return the tensor-parallel sizes from 1 to `most` that divide the model, ascending; () if none does."""
    sizes = [size for size in range(1, most + 1) if not usual_only or size.bit_count() == 1]
    ranks = (Ranks(tensor=size, expert_parallel=expert_parallel) for size in sizes)
    return tuple(each.tensor for each in ranks if _refused(config, weights, each) is None)


def runs_in_stages(config: ModelConfig) -> bool | None:
    """Return whether the engine's class supports pipeline parallelism; None if the class is unknown."""
    return supports(config, Feature.PIPELINE_PARALLEL)


def _refused(config: ModelConfig, weights: ModelWeights | None, ranks: Ranks) -> str | None:
    """Return the words for what cannot be split (`10 KV heads`); None if all can."""
    try:
        _check_heads(config, ranks.tensor)
        if weights is not None:
            weights.bytes(ranks)
    except CannotSplitError as error:
        return error.what
    return None


def _check_heads(config: ModelConfig, ranks: int) -> None:
    """Raise CannotSplitError if the attention heads do not divide by `ranks`."""
    heads = read_heads(config)
    if heads.attention:
        Share(heads.attention, what=ATTENTION_HEADS).on_rank(ranks)
    if heads.kv and not heads.latent:
        Share(heads.kv, what=KV_HEADS, repeated=family_of(config).repeats_kv_heads).on_rank(ranks)


def _pipeline_refusal(config: ModelConfig, stages: int) -> str | None:
    """Return why the engine refuses this many pipeline stages (text); None if it does not."""
    if stages == 1:
        return None
    if runs_in_stages(config) is False:
        return f"{config.architectures[0]} cannot run in pipeline stages: 1 stage can"
    layers = layer_count(config)
    if layers is not None and layers < stages:
        return f"{layers} layers cannot fill {stages} pipeline stages: up to {layers} can"
    return None


def has_experts(config: ModelConfig) -> bool | None:
    """Return whether the model has routed experts; None without a configuration."""
    try:
        return read_mixture(config) is not None if config.root.values else None
    except UnknownSizeError:
        return True


def _sentence(what: str, ranks: int, sizes: Sequence[int]) -> str:
    """Return `10 KV heads cannot be split over 4 GPUs: 1, 2, 5 or 10 can`, the numbers being GPUs."""
    if not sizes:
        return f"{what} cannot be held by the engine on any number of GPUs"
    *firsts, last = map(str, sizes)
    listed = f"{', '.join(firsts)} or {last}" if firsts else last
    return f"{what} cannot be split over {ranks} GPUs: {listed} can"
