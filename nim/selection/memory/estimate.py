"""Estimate the memory a start takes on each of its GPUs, or on the host for a CPU profile.

Weights of one rank, plus the cache of one sequence of the full context (the engine does not start with less),
plus an allowance for everything else. What is not known is not invented: it is said.
"""

from dataclasses import replace
from math import ceil

from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.types import GIB
from nim.manifest import Profile
from nim.manifest.types import GB
from nim.models.types import ModelReading
from nim.selection.effective_options import EngineOptions
from nim.selection.memory.estimate_inputs import DraftModel, Start
from nim.selection.memory.kv_cache_cost import CacheCost, read_cost, stated_reading
from nim.selection.memory.weights import weights_bytes

GPU_WORKSPACE_BYTES = 2 * GB
"""CUDA's context, activations and graphs: an allowance, not a measurement."""
GRAPHS_BYTES = GB // 2
"""The part of it that CUDA graphs take."""
CPU_WORKSPACE_BYTES = GB
ALLOWED_TOKENS = 8192
"""Tokens of a step whose activations are within the allowance: the engine's default on an H100."""
ACTIVATIONS, SHARED_ACTIVATIONS = 7, 21
"""Bytes for each token and element of its hidden state: on every rank, and those that the ranks share."""
ENGINE_UTILIZATION = 0.92
"""The share of a GPU that vLLM takes unless it is configured otherwise."""
MOST_UTILIZATION = 0.98
SHORTEST_CONTEXT = 128
LONGEST_CONTEXT = 2**24


@frozen_dataclass
class Estimate:
    """Memory per GPU in bytes. None is unknown; `unknown` names the missing facts.

    `least_bytes` is what it takes to start at all, `need_bytes` with a context of `max_model_len`.
    `reserved_bytes` is the size of the cache where it is set: then the share of the GPU has no effect.
    """

    weights_bytes: int | None
    workspace_bytes: int
    max_model_len: int | None
    least_bytes: int | None
    need_bytes: int | None
    cost: CacheCost | None = None
    reserved_bytes: int | None = None
    fits_context: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def context_bytes(self) -> int:
        """Return the bytes of KV cache for the full context; 0 if unknown or chosen by the engine."""
        if self.cost is None or self.max_model_len is None or self.fits_context:
            return 0
        return self.cost.bytes_for(self.max_model_len)

    def longest(self, usable_bytes: int) -> int | None:
        """Return the longest context in tokens that fits `usable_bytes`; None if unknown or none fits."""
        if self.least_bytes is None or self.cost is None:
            return None
        available = usable_bytes - self.least_bytes if self.reserved_bytes is None else self.reserved_bytes
        length = self.cost.longest(available)
        return None if length is None else min(length, self.max_model_len or length)

    def need_with(self, max_model_len: int) -> int | None:
        """Return the bytes needed with a context of `max_model_len` tokens; None if unknown."""
        if self.least_bytes is None:
            return None
        return self.least_bytes + (self.cost.bytes_for(max_model_len) if self.cost else 0)


def estimate(start: Start) -> Estimate:
    """Return the memory Estimate of one start: bytes per GPU, or of the host. Reads no hardware."""
    profile, options = start.profile, start.options
    weights, workspace = weights_bytes(start), _workspace_bytes(start)
    cost = _cost(start)
    least = _least_bytes(start, weights, workspace)
    reserved = _reserved_bytes(profile, options)
    cache = _cache_bytes(start, cost, reserved)
    return Estimate(
        weights_bytes=weights,
        workspace_bytes=workspace,
        max_model_len=start.context,
        least_bytes=least,
        need_bytes=None if least is None else least + (cache or 0),
        cost=cost,
        reserved_bytes=reserved,
        fits_context=options.fits_context,
        unknown=_unknown(weights or least, cache),
    )


def _workspace_bytes(start: Start) -> int:
    """Return the assumed bytes for activations, CUDA context and graphs per GPU."""
    if start.profile.on_cpu:
        return CPU_WORKSPACE_BYTES
    options, facts = start.options, start.facts
    hidden = facts.reading.hidden_size if facts else None
    more = max((options.integer("max_num_batched_tokens") or 0) - ALLOWED_TOKENS, 0)
    activations = ceil(more * (hidden or 0) * (ACTIVATIONS + SHARED_ACTIVATIONS / start.parallel.tensor))
    graphs = GRAPHS_BYTES if options.flag("enforce_eager") else 0
    return GPU_WORKSPACE_BYTES - graphs + activations


def _least_bytes(start: Start, weights: int | None, workspace: int) -> int | None:
    """Return the bytes needed without KV cache: weights, draft model, workspace; None if unknown."""
    profile = start.profile
    own = (profile.tensor_parallel_size, profile.pipeline_parallel_size)
    holds = (start.parallel.tensor, start.parallel.pipeline) == own
    stated = round(profile.memory_gb * GB) if holds and profile.memory_gb is not None else None
    draft = ceil((start.draft.weights_bytes if start.draft else 0) / start.parallel.tensor)
    if weights is None:
        return None if stated is None else stated + draft
    return max(weights + workspace, stated or 0) + draft


def _reserved_bytes(profile: Profile, options: EngineOptions) -> int | None:
    """Return the KV cache's bytes if an option or variable fixes them; None otherwise."""
    told = str(options.get("VLLM_CPU_KVCACHE_SPACE") or "")
    if profile.on_cpu and told.isdecimal() and int(told):
        return int(told) * GIB
    size = options.get("kv_cache_memory_bytes")
    return max(size, 0) if isinstance(size, int) and size else None


def _cache_bytes(start: Start, cost: CacheCost | None, reserved: int | None) -> int | None:
    """Return the bytes of KV cache to count for the context or the fixed size; None if unknown."""
    length = SHORTEST_CONTEXT if start.options.fits_context else start.context
    if reserved is not None:
        # What a manifest states of a CPU profile was measured with the cache.
        return 0 if start.profile.on_cpu and start.profile.memory_gb is not None else reserved
    return None if cost is None or length is None else cost.bytes_for(length)


def _cost(start: Start) -> CacheCost | None:
    """Return the CacheCost of the model, by its own files or the manifest; None if unknown."""
    reading = start.facts.reading if start.facts else None
    stated = start.model.kv_cache if start.model else None
    if stated is not None and (reading is None or reading.layers is None):
        reading = stated_reading(stated)
    if reading is None:
        return None
    return read_cost(
        _with_draft(reading, start.draft),
        start.options,
        start.parallel,
        dtype=start.dtype,
        longest=start.context or LONGEST_CONTEXT,
        gpu=start.gpu,
    )


def _with_draft(reading: ModelReading, draft: DraftModel | None) -> ModelReading:
    """Return the reading with the layers of a draft model, whose cache is in the same pool as the model's."""
    if draft is None or draft.reading is None or not draft.reading.layers or not reading.layers:
        return reading
    return replace(reading, layers=(*reading.layers, *draft.reading.layers))


def _unknown(weights: int | None, cache: int | None) -> tuple[str, ...]:
    """Return names of the missing facts, as a tuple of texts; () if both figures are known."""
    missing = [] if weights is not None else ["the size of the weights"]
    return tuple(missing + ([] if cache is not None else ["what a token of context costs"]))
