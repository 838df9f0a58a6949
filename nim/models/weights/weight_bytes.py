"""Bytes of a model's weights on one rank."""

from nim.models.config import ModelConfig
from nim.models.types import Quantization
from nim.models.weights.model_weights import ModelWeights, read_weights, stored_dtype
from nim.models.weights.modules import Ranks
from nim.models.weights.shares import CannotSplitError
from nim.models.weights.storage.methods import HOPPER

# Files that differ more than this from what the configuration says are taken at their word.
_TOLERANCE = 0.1


def parameter_bytes(
    config: ModelConfig,
    quantization: Quantization | None,
    *,
    tensor_parallel_size: int = 1,
    pipeline_parallel_size: int = 1,
    data_parallel_size: int = 1,
    expert_parallel: bool = False,
    quantize: str | None = None,
    dtype: str | None = None,
    capability: tuple[int, int] = HOPPER,
    on_disk: int | None = None,
) -> int | None:
    """Return the bytes of weights on the rank that holds most, once loaded; None where that is not known.

    `quantize` and `dtype` are the engine's `--quantization` and `--dtype`; weights in 32 bits are served in
    16 unless it says otherwise. `capability` is that of the GPU, whose kernels pad some weights. `on_disk`
    are the bytes of the weight files that the engine will load: they decide where the configuration does not
    tell or tells something else.
    """
    ranks = Ranks(
        tensor=tensor_parallel_size,
        pipeline=pipeline_parallel_size,
        data=data_parallel_size,
        expert_parallel=expert_parallel,
    )
    weights = read_weights(config, quantization, quantize=quantize, dtype=dtype, capability=capability)
    counted = None if weights is None else _bytes(weights, ranks)
    if on_disk is None:
        return counted
    stored = read_weights(config, quantization, dtype=stored_dtype(config))
    if counted is None or stored is None:
        return _shared_out(on_disk, config, quantization, ranks)
    ratio = on_disk / stored.bytes(Ranks())
    return counted if abs(ratio - 1) <= _TOLERANCE else int(counted * ratio)


def _shared_out(on_disk: int, config: ModelConfig, quantization: Quantization | None, ranks: Ranks) -> int:
    """Return an even part of the files, 32-bit weights halved."""
    halved = quantization is None and stored_dtype(config) == "float32"
    return on_disk // ((1 + halved) * ranks.tensor * ranks.pipeline)


def _bytes(weights: ModelWeights, ranks: Ranks) -> int | None:
    """Return the bytes of weights on one rank; None if they cannot be split."""
    try:
        return weights.bytes(ranks)
    except CannotSplitError:
        return None
