"""The machine for which `nim model` judges a model, and the judgement."""

import argparse
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from nim.cli.machine_options import find_hardware
from nim.cli.model_source import FoundModel
from nim.errors import HardwareError
from nim.hardware import Gpu
from nim.models.cache import CacheSettings, cache_bytes, default_batched_tokens
from nim.models.fit import Fit, fit_rank
from nim.models.parallel_sizes import check_sizes, tensor_parallel_sizes
from nim.models.types import ModelReading
from nim.models.weights.weight_bytes import parameter_bytes
from nim.selection.memory import ENGINE_UTILIZATION, GPU_WORKSPACE_BYTES

# Without a visible GPU, the engine's defaults on an H100 are used.
_H100_MEMORY, _H100_CAPABILITY = 80 * 2**30, (9, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The GPUs of a machine. Properties are those of the smallest GPU, or of an H100 if there is none."""

    gpus: tuple[Gpu, ...] = ()

    @property
    def memory_bytes(self) -> int | None:
        """Return the memory of the smallest GPU in bytes; None if unknown."""
        sizes = [gpu.memory_total_bytes for gpu in self.gpus if gpu.memory_total_bytes]
        return min(sizes, default=None)

    @property
    def capability(self) -> tuple[int, int]:
        """Return the least compute capability."""
        found = [gpu.compute_capability for gpu in self.gpus if gpu.compute_capability]
        return min(found, default=_H100_CAPABILITY)

    @property
    def batched_tokens(self) -> int:
        """Return the number of tokens per step that is the engine's default."""
        name = self.gpus[0].name if self.gpus else None
        return default_batched_tokens(self.memory_bytes or _H100_MEMORY, name or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Sizes of one rank in bytes, and the parallel sizes that the engine accepts; None is unknown."""

    machine: Machine
    parameter_bytes: int | None
    cache_bytes: int | None
    tensor_parallel_sizes: tuple[int, ...] | None
    refusal: str | None  # why the engine refuses the requested sizes
    fit: Fit | None


def machine_of(options: argparse.Namespace, environ: Mapping[str, str]) -> Machine:
    """Return the requested machine, or this one; without GPUs if none can be detected."""
    if options.gpus or options.hardware:
        return Machine(gpus=find_hardware(options, environ).gpus)
    with suppress(HardwareError):
        return Machine(gpus=find_hardware(options, environ).gpus)
    return Machine()


def judge(model: FoundModel, reading: ModelReading, cache: CacheSettings, machine: Machine) -> Judgement:
    """Return the memory that the model takes, and whether it fits the machine."""
    config, tensor, stages = model.config, cache.tensor_parallel_size, cache.pipeline_parallel_size
    refusal = check_sizes(config, tensor_parallel_size=tensor, pipeline_parallel_size=stages)
    weights = parameter_bytes(
        config,
        reading.quantization,
        tensor_parallel_size=tensor,
        pipeline_parallel_size=stages,
        on_disk=model.stored_bytes,
    )
    return Judgement(
        machine=machine,
        parameter_bytes=None if refusal else weights,
        cache_bytes=None if refusal else cache_bytes(reading, cache),
        tensor_parallel_sizes=tensor_parallel_sizes(config),
        refusal=refusal,
        fit=None if refusal else _fit(reading, cache, machine, weights),
    )


def _fit(reading: ModelReading, cache: CacheSettings, machine: Machine, weights: int | None) -> Fit | None:
    """Return whether the model fits on the machine; None if that is unknown."""
    memory = machine.memory_bytes
    if memory is None or weights is None:
        return None
    return fit_rank(
        reading,
        cache,
        usable_bytes=int(memory * ENGINE_UTILIZATION),
        weights_bytes=weights,
        workspace_bytes=GPU_WORKSPACE_BYTES,
    )
