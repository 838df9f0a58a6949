"""The bytes of a model's weights on one rank."""

from collections import Counter
from dataclasses import replace
from itertools import chain

from nim.models.config import ModelConfig
from nim.models.parameters.decoder import decoder_layers, embeddings
from nim.models.parameters.methods import read_formats
from nim.models.parameters.modules import Module, Ranks
from nim.models.parameters.shares import CannotSplitError
from nim.models.parameters.sizes import UnknownSizeError
from nim.models.parameters.storage import Storage
from nim.models.parameters.towers import tower_modules
from nim.models.types import Quantization

_BITS = {"float32": 32, "float": 32}
# Modules alike, with the format they are stored in.
Weights = Counter[tuple[Module, Storage]]


def parameter_bytes(
    config: ModelConfig,
    quantization: Quantization | None,
    *,
    tensor_parallel_size: int = 1,
    expert_parallel: bool = False,
    data_parallel_size: int = 1,
    quantize: str | None = None,
    dtype: str | None = None,
) -> int | None:
    """Return the bytes of weights on the rank that holds most; None where the model is not known."""
    ranks = Ranks(tensor=tensor_parallel_size, data=data_parallel_size, expert_parallel=expert_parallel)
    try:
        weights = read_weights(config, quantization, quantize=quantize, dtype=dtype)
        return None if weights is None else bytes_on_rank(weights, ranks)
    except (CannotSplitError, UnknownSizeError):
        return None


def bytes_on_rank(weights: Weights, ranks: Ranks) -> int:
    """Return the bytes of these weights on one rank; raise `CannotSplitError` where they do not divide."""
    return sum(count * module.bytes(storage, ranks) for (module, storage), count in weights.items())


def read_weights(
    config: ModelConfig, quantization: Quantization | None, *, quantize: str | None, dtype: str | None
) -> Weights | None:
    """Return the weights of the whole model, those alike together."""
    formats = read_formats(config, quantization, quantize=quantize, bits=_BITS.get(dtype or "", 16))
    if formats is None:
        return None
    weights: Weights = Counter()
    for module in (*embeddings(config), *chain.from_iterable(decoder_layers(config))):
        weights[replace(module, name=""), formats.of(module)] += 1
    for tower in tower_modules(config):
        weights[replace(tower, name=""), formats.plain] += 1
    return weights
