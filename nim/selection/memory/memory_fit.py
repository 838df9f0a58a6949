"""Check that available memory holds a profile: on which GPUs, with what share of each and what context."""

from nim.hardware.types import GIB, Gpu
from nim.manifest.types import GB
from nim.selection.fit_types import Case, Kind, MemoryFit, Miss
from nim.selection.memory.choose_gpus import (
    Choice,
    choose_devices,
    configured_share,
    is_busy,
    is_crowded,
    takeable_bytes,
    total_bytes,
)
from nim.selection.memory.estimate import ENGINE_UTILIZATION, MOST_UTILIZATION


def fit_memory(case: Case) -> MemoryFit:
    """Return the MemoryFit: GPUs to use, their share, and a Miss if memory does not suffice."""
    if case.profile.on_cpu:
        return _on_host(case)
    choice = choose_devices(case, min(case.parallel.local_ranks, len(case.group.gpus) or 1))
    miss, context = _miss(case, choice), None
    if miss is not None or case.estimate.fits_context:
        context = None if choice.usable_bytes is None else case.estimate.longest(choice.usable_bytes)
    return MemoryFit(
        devices=choice.gpus,
        usable_bytes=choice.usable_bytes,
        miss=miss,
        context=context,
        utilization=None if miss else _utilization(case, choice),
        notes=_notes(case, choice),
        busy=any(map(is_busy, choice.gpus)),
        crowded=any(map(is_crowded, choice.gpus)),
    )


def gigabytes(size: float) -> str:
    """Return a number of bytes as text, such as "1.5 GB" (10⁹ bytes)."""
    return f"{size / GB:.1f} GB"


def _utilization(case: Case, choice: Choice) -> float | None:
    """Return the gpu_memory_utilization to set; None if the default or the user's value applies."""
    totals = [total for gpu in choice.gpus if (total := total_bytes(gpu, case.hardware))]
    share, need = choice.share, case.estimate.need_bytes
    if share is None or need is None or not totals or configured_share(case) is not None:
        return None
    if case.estimate.reserved_bytes is not None:
        return None
    if share < ENGINE_UTILIZATION:
        return max(int(share * 1000), 1) / 1000
    return share if need > min(totals) * ENGINE_UTILIZATION else None


def _miss(case: Case, choice: Choice) -> Miss | None:
    """Return the Miss if the chosen GPUs' memory does not hold the profile; None if it does or unknown."""
    need, least, usable = case.estimate.need_bytes, case.estimate.least_bytes, choice.usable_bytes
    if need is None or least is None or usable is None:
        return None
    if need <= usable:
        return _too_long_for_reserve(case)
    where = "" if len(choice.gpus) == 1 else " on each GPU"
    found, shortfall = f"{gigabytes(usable)} to be had", need / max(usable, 1)
    context = case.estimate.longest(usable) if least <= usable else None
    if context is not None and case.estimate.reserved_bytes is None:
        needed = f"{gigabytes(need)}{where} for a context of {case.estimate.max_model_len} tokens"
        change = case.options.to_set("max_model_len", context)
        return _estimated(Kind.CONTEXT, needed, found, change, shortfall)
    needed = f"{gigabytes(least if least > usable else need)}{where}"
    totals = [total for gpu in choice.gpus if (total := total_bytes(gpu, case.hardware)) is not None]
    if any(map(is_busy, choice.gpus)) and min(totals, default=0) * ENGINE_UTILIZATION >= least:
        change = "end what else uses the GPU (nvidia-smi)"
        return _estimated(Kind.BUSY, needed, found, change, shortfall)
    return _estimated(Kind.MEMORY, needed, found, None, shortfall)


def _too_long_for_reserve(case: Case) -> Miss | None:
    """Return a Miss if a KV cache of fixed size cannot hold the full context; else None."""
    size, length, cost = case.estimate.reserved_bytes, case.estimate.max_model_len, case.estimate.cost
    need = cost.bytes_for(length) if size is not None and cost is not None and length is not None else None
    if size is None or need is None or cost is None or need <= size or case.estimate.fits_context:
        return None
    context = cost.longest(size)
    change = case.options.to_set("max_model_len", context) if context else f"--kv-cache-memory-bytes {need}"
    needed = f"{gigabytes(need)} of cache for a context of {length} tokens"
    found = f"{gigabytes(size)} ({case.options.place('kv_cache_memory_bytes')})"
    return _estimated(Kind.CONTEXT, needed, found, change, need / max(size, 1))


def _estimated(kind: Kind, needed: str, found: str, change: str | None, shortfall: float) -> Miss:
    """Return a Miss with `certain` False."""
    return Miss(kind=kind, needed=needed, found=found, change=change, shortfall=shortfall, certain=False)


def _on_host(case: Case) -> MemoryFit:
    """Return the MemoryFit of a CPU profile in the host's memory, with a Miss if it is too little."""
    hardware, size = case.hardware, case.estimate
    limits = (hardware.host_memory_available_bytes, hardware.memory_limit_bytes)
    host = min((limit for limit in limits if limit is not None), default=None)
    notes = () if host is not None else (_unmeasured("the host"),)
    if host is None or size.need_bytes is None or size.least_bytes is None:
        return MemoryFit(usable_bytes=host, notes=notes)
    if size.need_bytes <= host:
        return MemoryFit(usable_bytes=host, miss=_too_long_for_reserve(case), notes=notes)
    context = size.longest(host) if size.least_bytes <= host and size.reserved_bytes is None else None
    return MemoryFit(usable_bytes=host, miss=_host_miss(case, host, context), context=context, notes=notes)


def _host_miss(case: Case, host: int, context: int | None) -> Miss:
    """Return the Miss of a CPU profile that needs more than `host` bytes."""
    least, need = case.estimate.least_bytes or 0, case.estimate.need_bytes or 0
    found, shortfall = f"{gigabytes(host)} to be had", need / max(host, 1)
    if context is not None:
        needed = (
            f"{gigabytes(need)} of the host's memory for a context of {case.estimate.max_model_len} tokens"
        )
        change = case.options.to_set("max_model_len", context)
        return _estimated(Kind.CONTEXT, needed, found, change, shortfall)
    needed = f"{gigabytes(least if least > host else need)} of the host's memory"
    total = case.hardware.host_memory_bytes
    if total is not None and total < need:
        return _estimated(Kind.MEMORY, needed, found, None, shortfall)
    return _estimated(Kind.BUSY, needed, found, "docker run --memory, or end other programs", shortfall)


def _notes(case: Case, choice: Choice) -> tuple[str, ...]:
    """Return warnings about these GPUs' memory as a tuple of texts."""
    unknown = [str(gpu.index) for gpu in choice.gpus if total_bytes(gpu, case.hardware) is None]
    measured = () if not unknown else (_unmeasured(f"GPU {', '.join(unknown)}"),)
    return (*measured, *_share_notes(case, choice), *_offload_notes(case, choice))


def _unmeasured(what: str) -> str:
    """Return the warning that the memory of `what` is unknown, as text."""
    return f"the memory of {what} is unknown: whether it suffices was not checked"


def _share_notes(case: Case, choice: Choice) -> tuple[str, ...]:
    """Return one warning if less memory is free than gpu_memory_utilization asks for; else ()."""
    share = configured_share(case)
    if share is None or case.estimate.reserved_bytes is not None:
        return ()
    short = [gpu for gpu in choice.gpus if share > _largest_share(case, gpu)]
    if not short:
        return ()
    gpu, name = short[0], "gpu_memory_utilization"
    most = int(_largest_share(case, gpu) * 100) / 100
    asked = f"{share:g} of GPU {gpu.index} ({case.options.place(name)})"
    left = "CUDA's own context and other processes leave less of it"
    return (f"{asked}: {left}, and the engine will not start: {case.options.to_set(name, f'{most:g}')}",)


def _largest_share(case: Case, gpu: Gpu) -> float:
    """Return the share of a GPU's memory that is free, from 0; 0.98 if unknown."""
    total, free = total_bytes(gpu, case.hardware), takeable_bytes(gpu, case.hardware)
    return MOST_UTILIZATION if not total or free is None else max(free / total, 0.0)


def _offload_notes(case: Case, choice: Choice) -> tuple[str, ...]:
    """Return one warning if the host's memory does not hold offloaded weights; else ()."""
    offload = (case.options.number("cpu_offload_gb") or 0) * GIB * len(choice.gpus)
    host = case.hardware.host_memory_available_bytes
    if not offload or host is None or offload <= host:
        return ()
    words = (
        f"{gigabytes(offload)} for {len(choice.gpus)} GPUs, and {gigabytes(host)} of the host's are to be had"
    )
    return (f"--cpu-offload-gb ({case.options.place('cpu_offload_gb')}) takes {words}",)
