"""Bytes of weights that a start keeps on each GPU, or on the host for a CPU profile."""

from math import ceil

from nim.hardware.types import GIB
from nim.manifest import Model, Profile
from nim.manifest.types import BILLION, GB
from nim.selection.memory.estimate_inputs import Start

BYTES_PER_PARAMETER = {
    "fp32": 4.0,
    "bf16": 2.0,
    "fp16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "mxfp8": 1.0,
    "nvfp4": 0.5,
    "mxfp4": 0.5,
    "int4": 0.5,
}


def weights_bytes(start: Start) -> int | None:
    """Return the bytes of weights on each GPU, or on the host for a CPU profile; None if unknown."""
    rank = _rank_bytes(start)
    if rank is None:
        return None
    if start.profile.on_cpu:
        return ceil(rank * start.parallel.data)
    return max(rank - _offloaded_bytes(start, rank), 0)


def _rank_bytes(start: Start) -> int | None:
    """Return the bytes of weights of one rank, from model facts or the manifest; None if unknown."""
    parallel, stored = start.parallel, _stored_bytes(start.profile, start.model)
    if start.facts is not None:
        counted = start.facts.rank_bytes(
            parallel.weight_ranks,
            quantize=start.quantize,
            dtype=start.dtype,
            capability=start.gpu.compute_capability if start.gpu else None,
            loaded=stored,
        )
        if counted is not None:
            return counted
    if stored is None or start.quantize is not None:
        return None
    wider = 2 if start.dtype == "float32" and start.is_plain else 1
    return ceil(stored * wider / (parallel.tensor * parallel.pipeline))


def _stored_bytes(profile: Profile, model: Model | None) -> float | None:
    """Return the bytes of all stored weights, by the manifest's figures; None if unknown."""
    if profile.weights_gb is not None:
        return profile.weights_gb * GB
    size = BYTES_PER_PARAMETER.get(profile.precision or "")
    if model is None or model.parameters is None or size is None:
        return None
    return model.parameters.total_billions * BILLION * size


def _offloaded_bytes(start: Start, rank: int) -> int:
    """Return the bytes of a rank's weights kept in host memory by offloading options; or 0."""
    options = start.options
    group, layers = (
        options.integer("offload_group_size"),
        options.integer("offload_num_in_group") or 1,
    )
    if options.get("offload_backend") == "prefetch" or (options.get("offload_backend") != "uva" and group):
        return int(rank * min(layers / group, 1)) if group else 0
    return int((options.number("cpu_offload_gb") or 0) * GIB)
