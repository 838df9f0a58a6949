"""Whether the memory that is there holds a profile: which GPUs, how much of each, and how long a context."""

from nim.hardware.types import Gpu, Hardware
from nim.manifest.types import GB
from nim.selection.fit import Case, Kind, Miss, Room
from nim.selection.memory import ENGINE_UTILIZATION, MOST_UTILIZATION, Estimate

DRIVER_BYTES = int(1.2 * GB)
"""What an idle GPU's driver may hold for itself without anyone using the GPU."""
CONTEXT_BYTES = int(0.6 * GB)
"""CUDA's context: it is there before the engine looks at what is free."""
HOST_RESERVE_BYTES = 16 * GB
"""What stays with the system where GPU and CPU share one memory: without it the whole machine stalls."""


def find_room(case: Case) -> Room:
    """The GPUs to use and whether the smallest of them does; or the host's memory, for a CPU profile."""
    if case.profile.on_cpu:
        return _on_host(case)
    count = max(case.profile.gpu_count // max(case.wishes.nodes, 1), 1)
    devices = _choose(case, count)
    usable = {gpu: _usable_bytes(case, gpu) for gpu in devices}
    unmeasured = [str(gpu.index) for gpu in devices if usable[gpu] is None]
    notes = _notes(f"GPU {', '.join(unmeasured)}" if unmeasured else None)
    known = [size for size in usable.values() if size is not None]
    need = case.estimate.need_bytes
    if not known or need is None:
        return Room(devices=devices, notes=notes)
    smallest = min(known)
    if need <= smallest:
        share = _utilization(case, devices, need)
        return Room(devices=devices, usable_bytes=smallest, notes=notes, utilization=share)
    context = _context(case.estimate, smallest)
    miss = _miss(case, devices, smallest, context)
    return Room(devices=devices, usable_bytes=smallest, miss=miss, context=context, notes=notes)


def total_bytes(gpu: Gpu, hardware: Hardware) -> int | None:
    """A GPU's memory. One that draws on the host's has the host's."""
    return hardware.host_memory_bytes if draws_on_host(gpu) else gpu.memory_total_bytes


def free_bytes(gpu: Gpu, hardware: Hardware) -> int | None:
    """What of it nobody holds."""
    return hardware.host_memory_available_bytes if draws_on_host(gpu) else gpu.memory_free_bytes


def is_busy(gpu: Gpu) -> bool:
    """Whether someone holds a noticeable part of a GPU's own memory."""
    total, free = gpu.memory_total_bytes, gpu.memory_free_bytes
    return total is not None and free is not None and total - free > max(0.02 * total, DRIVER_BYTES)


def gigabytes(size: float) -> str:
    return f"{size / GB:.1f} GB"


def draws_on_host(gpu: Gpu) -> bool:
    """Whether GPU and CPU share one memory, and the GPU has none of its own."""
    return gpu.memory_total_bytes is None and bool(gpu.unified_memory) and gpu.mig is None


def _choose(case: Case, count: int) -> tuple[Gpu, ...]:
    """The first `count` GPUs in the user's order: those with room first, idle ones before busy ones."""
    need = case.estimate.need_bytes or 0

    def rank(place: int) -> tuple[int, bool, int]:
        gpu = case.group.gpus[place]
        usable = _usable_bytes(case, gpu)
        return 1 if usable is None else 0 if usable >= need else 2, is_busy(gpu), place

    chosen = sorted(range(len(case.group.gpus)), key=rank)[:count]
    return tuple(case.group.gpus[place] for place in sorted(chosen))


def _usable_bytes(case: Case, gpu: Gpu) -> int | None:
    """What the engine may take of a GPU: a profile that is made for the GPU may take nearly all of it."""
    total, free = total_bytes(gpu, case.hardware), _takeable_bytes(gpu, case.hardware)
    share = _told_utilization(case) or (MOST_UTILIZATION if case.profile.names_gpu else ENGINE_UTILIZATION)
    limits = [limit for limit in (free, None if total is None else int(total * share)) if limit is not None]
    return min(limits) if limits else None


def _takeable_bytes(gpu: Gpu, hardware: Hardware) -> int | None:
    """What is free, less what must stay so."""
    free = free_bytes(gpu, hardware)
    return None if free is None else free - (HOST_RESERVE_BYTES if draws_on_host(gpu) else CONTEXT_BYTES)


def _told_utilization(case: Case) -> float | None:
    told = case.wishes.gpu_memory_utilization or case.profile.engine.args.get("gpu-memory-utilization")
    return float(told) if isinstance(told, int | float) else None


def _utilization(case: Case, devices: tuple[Gpu, ...], need: int) -> float | None:
    """The share to tell the engine: less than its default where others hold memory, more where it must."""
    if _told_utilization(case) is not None:
        return None
    shares = [share for gpu in devices if (share := _share(gpu, case.hardware, need)) is not None]
    return min(shares) if shares else None


def _share(gpu: Gpu, hardware: Hardware, need: int) -> float | None:
    total, free = total_bytes(gpu, hardware), _takeable_bytes(gpu, hardware)
    if not total:
        return None
    most = MOST_UTILIZATION if free is None else min(MOST_UTILIZATION, int(free / total * 1000) / 1000)
    return most if need > total * ENGINE_UTILIZATION or most < ENGINE_UTILIZATION else None


def _context(estimate: Estimate, smallest: int) -> int | None:
    fits_at_all = estimate.least_bytes is not None and estimate.least_bytes <= smallest
    return estimate.longest(smallest) if fits_at_all else None


def _miss(case: Case, devices: tuple[Gpu, ...], smallest: int, context: int | None) -> Miss:
    """What is wrong with the memory: the context is too long, someone else has it, or it is too small."""
    need, least = case.estimate.need_bytes or 0, case.estimate.least_bytes or 0
    where = "" if len(devices) == 1 else " on each GPU"
    found, shortfall = f"{gigabytes(smallest)} to be had", need / max(smallest, 1)
    if context is not None:
        needed = f"{gigabytes(need)}{where} for a context of {case.estimate.max_model_len} tokens"
        change = f"NIM_MAX_MODEL_LEN={context}"
        return Miss(kind=Kind.CONTEXT, needed=needed, found=found, change=change, shortfall=shortfall)
    needed = f"{gigabytes(least if least > smallest else need)}{where}"
    totals = [total for gpu in devices if (total := total_bytes(gpu, case.hardware)) is not None]
    if any(is_busy(gpu) for gpu in devices) and min(totals, default=0) * ENGINE_UTILIZATION >= least:
        change = "end what else uses the GPU (nvidia-smi)"
        return Miss(kind=Kind.BUSY, needed=needed, found=found, change=change, shortfall=shortfall)
    return Miss(kind=Kind.MEMORY, needed=needed, found=found, shortfall=shortfall)


def _on_host(case: Case) -> Room:
    hardware, need = case.hardware, case.estimate.need_bytes
    limits = (hardware.host_memory_available_bytes, hardware.memory_limit_bytes)
    host = min((limit for limit in limits if limit is not None), default=None)
    notes = _notes("the host" if host is None else None)
    if host is None or need is None or need <= host:
        return Room(usable_bytes=host, notes=notes)
    too_small = hardware.host_memory_bytes is not None and hardware.host_memory_bytes < need
    miss = Miss(
        kind=Kind.MEMORY if too_small else Kind.BUSY,
        needed=f"{gigabytes(need)} of the host's memory",
        found=f"{gigabytes(host)} to be had",
        change=None if too_small else "docker run --memory, or end other programs",
        shortfall=need / max(host, 1),
    )
    return Room(usable_bytes=host, miss=miss, notes=notes)


def _notes(unmeasured: str | None) -> tuple[str, ...]:
    words = f"the memory of {unmeasured} is unknown: whether it suffices was not checked"
    return (words,) if unmeasured else ()
