"""Bytes of KV cache that a context takes on one rank, and the longest context for a number of bytes."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Protocol

from nim.hardware.types import Gpu
from nim.models.cache import CacheSettings, cache_bytes, default_batched_tokens, longest_context
from nim.models.types import ModelReading
from nim.selection.parallel_sizes import Parallel
from nim.selection.profile_options import EngineOptions

LENGTH_STEP = 128


class CacheCost(Protocol):
    """The cost of one sequence on one rank."""

    def bytes_for(self, tokens: int) -> int | None:
        """Return the bytes of KV cache for a context of `tokens`."""

    def longest(self, available: int) -> int | None:
        """Return the longest context in tokens that fits `available` bytes, in whole steps; None if none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearCost:
    """A cost proportional to the number of tokens."""

    bytes_per_token: float

    def bytes_for(self, tokens: int) -> int:
        """Return the bytes of KV cache for a context of `tokens`."""
        return ceil(self.bytes_per_token * tokens)

    def longest(self, available: int) -> int | None:
        """Return the longest context in tokens that fits `available` bytes, in whole steps; None if none."""
        length = int(available / self.bytes_per_token) // LENGTH_STEP * LENGTH_STEP
        return length if length > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCost:
    """The engine's own arithmetic, for a model whose configuration is available.

    `shared` ranks keep a part of the context each. `settings.context` is the longest that is looked for.
    """

    reading: ModelReading
    settings: CacheSettings
    shared: int = 1

    def bytes_for(self, tokens: int) -> int | None:
        """Return the bytes of KV cache for a context of `tokens`."""
        return cache_bytes(self.reading, replace(self.settings, context=-(-tokens // self.shared)))

    def longest(self, available: int) -> int | None:
        """Return the longest context in tokens that fits `available` bytes, in whole steps; None if none."""
        length = longest_context(self.reading, available, self.settings)
        return None if not length else length * self.shared // LENGTH_STEP * LENGTH_STEP or None


def read_cost(
    reading: ModelReading,
    options: EngineOptions,
    parallel: Parallel,
    *,
    dtype: str,
    longest: int,
    gpu: Gpu | None,
) -> CacheCost | None:
    """Return the cost of a context by a model's own files; None if they do not determine it.

    `dtype` is what the model is served in. `gpu` is the smallest: the engine's defaults depend on it.
    """
    memory = (gpu and gpu.memory_total_bytes) or 0
    settings = CacheSettings(
        context=-(-longest // parallel.decode_context),
        tensor_parallel_size=parallel.tensor,
        pipeline_parallel_size=parallel.pipeline,
        kv_cache_dtype=options.text("kv_cache_dtype") or "auto",
        dtype=dtype,
        batched_tokens=options.whole("max_num_batched_tokens")
        or default_batched_tokens(memory, (gpu and gpu.name) or ""),
        block_size=options.whole("block_size"),
        state_dtype=options.text("mamba_cache_dtype") or "auto",
        recurrent_dtype=options.text("mamba_ssm_cache_dtype") or "auto",
        prefix_caching=options.get("enable_prefix_caching") is not False,
        capability=(gpu and gpu.compute_capability) or (9, 0),
        speculative_tokens=options.speculative_tokens,
    )
    cost = ReadCost(reading=reading, settings=settings, shared=parallel.decode_context)
    return None if cost.bytes_for(1) is None else cost
