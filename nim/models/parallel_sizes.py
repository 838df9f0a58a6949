"""The numbers of GPUs over which the engine can split a model, and why not over others."""

from collections.abc import Sequence

from nim.engine.catalog import Feature, load_catalog
from nim.models.config import ModelConfig
from nim.models.heads import read_heads
from nim.models.layers.kinds import layer_count
from nim.models.quantization import read_quantization
from nim.models.types import LARGEST
from nim.models.weights.model_weights import ModelWeights, read_weights
from nim.models.weights.modules import Ranks
from nim.models.weights.parts.attention import ATTENTION_HEADS, KV_HEADS
from nim.models.weights.parts.families import family_of
from nim.models.weights.parts.feed_forward import read_mixture
from nim.models.weights.parts.sizes import UnknownSizeError
from nim.models.weights.shares import CannotSplitError, Share


def check_sizes(
    config: ModelConfig,
    *,
    tensor_parallel_size: int = 1,
    pipeline_parallel_size: int = 1,
    data_parallel_size: int = 1,
    expert_parallel: bool = False,
    quantize: str | None = None,
) -> str | None:
    """Return why the engine refuses these sizes, with those it takes; None where nothing is against them.

    `quantize` is the engine's `--quantization`. What is not known refuses nothing.
    """
    if expert_parallel and _mixture(config) is False:
        return "it has no experts: expert parallelism is for mixtures of experts"
    if (reason := _pipeline_refusal(config, pipeline_parallel_size)) is not None:
        return reason
    ranks = Ranks(tensor=tensor_parallel_size, data=data_parallel_size, expert_parallel=expert_parallel)
    weights = _weights(config, quantize)
    what = _refused(config, weights, ranks)
    if what is None:
        return None
    alone = Ranks(tensor=ranks.tensor, expert_parallel=expert_parallel)
    if _refused(config, weights, alone) is not None:
        sizes = _accepted(config, weights, LARGEST, expert_parallel=expert_parallel)
        return _sentence(what, ranks.tensor, sizes)
    gpus = f"{ranks.expert_splits} GPUs, which is tensor times data parallelism"
    return f"{what} cannot be split over {gpus}: with expert parallelism each GPU has whole experts"


def tensor_parallel_sizes(
    config: ModelConfig, upto: int = LARGEST, *, quantize: str | None = None
) -> tuple[int, ...] | None:
    """Return the tensor-parallel sizes that the engine takes; None where nothing about them is known."""
    weights = _weights(config, quantize)
    if weights is None and read_heads(config).attention is None:
        return None
    return _accepted(config, weights, upto)


def gpus_needed(*, tensor_parallel_size: int, pipeline_parallel_size: int, data_parallel_size: int) -> int:
    """Return the number of GPUs of all replicas together."""
    return tensor_parallel_size * pipeline_parallel_size * data_parallel_size


def runs_in_stages(config: ModelConfig) -> bool | None:
    """Return whether the engine has pipeline parallelism for the architecture; None where it is not known."""
    found = load_catalog().resolve(config.architectures) if config.architectures else None
    if found is None or found.architecture is None:
        return None
    return Feature.PIPELINE_PARALLEL in found.architecture.features


def _weights(config: ModelConfig, quantize: str | None) -> ModelWeights | None:
    """Return the weights, as unquantized if their format is unknown."""
    found = read_weights(config, read_quantization(config), quantize=quantize)
    return read_weights(config, None) if found is None else found


def _accepted(
    config: ModelConfig, weights: ModelWeights | None, upto: int, *, expert_parallel: bool = False
) -> tuple[int, ...]:
    """Return the tensor-parallel sizes up to `upto` that the engine accepts."""
    sizes = (Ranks(tensor=size, expert_parallel=expert_parallel) for size in range(1, upto + 1))
    return tuple(ranks.tensor for ranks in sizes if _refused(config, weights, ranks) is None)


def _refused(config: ModelConfig, weights: ModelWeights | None, ranks: Ranks) -> str | None:
    """Return what cannot be split, or None."""
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
    """Return why the engine refuses this many pipeline stages; None if it does not."""
    if stages == 1:
        return None
    if runs_in_stages(config) is False:
        return f"{config.architectures[0]} cannot run in pipeline stages: 1 stage can"
    layers = layer_count(config)
    if layers is not None and layers < stages:
        return f"{layers} layers cannot fill {stages} pipeline stages: up to {layers} can"
    return None


def _mixture(config: ModelConfig) -> bool | None:
    """Return whether the model has routed experts; None where that is not known."""
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
