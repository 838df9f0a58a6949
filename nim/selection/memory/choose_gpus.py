"""Choose the GPUs of a group that a start uses, and the share of memory the engine takes of each."""

from collections.abc import Mapping, Sequence

from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.types import Gpu, Hardware
from nim.manifest.types import GB
from nim.selection.fit_types import Case
from nim.selection.memory.estimate import ENGINE_UTILIZATION, MOST_UTILIZATION
from nim.selection.unmet_requirements import gpu_misses

DRIVER_BYTES = int(1.2 * GB)
"""What an idle GPU's driver may hold for itself without anyone using the GPU."""
CONTEXT_BYTES = int(0.6 * GB)
"""CUDA's context: it is there before the engine looks at what is free."""
HOST_RESERVE_BYTES = 16 * GB
"""What stays with the system where GPU and CPU share one memory: without it the whole machine stalls."""


@frozen_dataclass
class Choice:
    """The chosen GPUs in the user's order, and the share of each for the engine; None if unknown.

    `usable_bytes` is what that comes to on the smallest of them.
    """

    gpus: tuple[Gpu, ...]
    share: float | None
    usable_bytes: int | None


def total_bytes(gpu: Gpu, hardware: Hardware) -> int | None:
    """Return a GPU's total memory in bytes, the host's if it shares that; None if unknown."""
    return hardware.host_memory_bytes if draws_on_host(gpu) else gpu.memory_total_bytes


def free_bytes(gpu: Gpu, hardware: Hardware) -> int | None:
    """Return a GPU's free memory in bytes, the host's if it shares that; None if unknown."""
    return hardware.host_memory_available_bytes if draws_on_host(gpu) else gpu.memory_free_bytes


def takeable_bytes(gpu: Gpu, hardware: Hardware) -> int | None:
    """Return a GPU's free memory in bytes minus a reserve the engine cannot use; None if unknown."""
    free = free_bytes(gpu, hardware)
    return None if free is None else free - (HOST_RESERVE_BYTES if draws_on_host(gpu) else CONTEXT_BYTES)


def is_busy(gpu: Gpu) -> bool:
    """Return True if other processes hold over 2 % of the GPU's memory; False if unknown."""
    total, free = gpu.memory_total_bytes, gpu.memory_free_bytes
    return total is not None and free is not None and total - free > max(0.02 * total, DRIVER_BYTES)


def is_crowded(gpu: Gpu) -> bool:
    """Return True if other processes hold more than half of the GPU's memory; False if unknown."""
    total, free = gpu.memory_total_bytes, gpu.memory_free_bytes
    return total is not None and free is not None and 2 * free < total


def draws_on_host(gpu: Gpu) -> bool:
    """Return True if the GPU shares the host's memory and has none of its own."""
    return gpu.memory_total_bytes is None and bool(gpu.unified_memory) and gpu.mig is None


def configured_share(case: Case) -> float | None:
    """Return gpu_memory_utilization as set by user or profile, from 0 to 1; None if not set."""
    return case.options.number("gpu_memory_utilization")


def choose_devices(case: Case, count: int) -> Choice:
    """Return a Choice of `count` GPUs that hold the profile, idle ones first; else those with most room.

    The engine takes the same share of each, so a busy GPU lowers the share of all: the highest share with
    which enough GPUs hold the profile wins. Where there is none, the GPUs with most available are returned.
    """
    gpus = case.group.gpus
    able = [place for place, misses in enumerate(gpu_misses(case)) if not misses]
    places = able if len(able) >= count else range(len(gpus))
    shares = {i: _most(case, gpus[i]) for i in places}
    for share in sorted({share for share in shares.values() if share is not None}, reverse=True):
        holding = [i for i in places if _holds(case, gpus[i], shares[i], share)]
        if len(holding) >= count:
            unmeasured = {i for i in holding if shares[i] is None}
            return _choice(
                case, sorted(holding, key=lambda i: (i in unmeasured, is_busy(gpus[i]), i))[:count], share
            )
    chosen = _with_most_room(case, shares, count)
    return _choice(case, chosen, min((s for i in chosen if (s := shares[i]) is not None), default=None))


def _with_most_room(case: Case, shares: Mapping[int, float | None], count: int) -> Sequence[int]:
    """Return the indexes of `count` GPUs, first those that hold the profile and are idle."""
    gpus, need = case.group.gpus, case.estimate.need_bytes or 0

    def rank(place: int) -> tuple[int, bool, int]:
        """Return a GPU's sort key (tuple): sufficient, unknown, insufficient; idle; user's order."""
        available = _usable(case, gpus[place], shares[place])
        return 1 if available is None else 0 if available >= need else 2, is_busy(gpus[place]), place

    return sorted(shares, key=rank)[:count]


def _choice(case: Case, places: Sequence[int], share: float | None) -> Choice:
    """Return the Choice of the GPUs at these indexes, with this share of memory."""
    gpus = tuple(case.group.gpus[place] for place in sorted(places))
    usable = [size for gpu in gpus if (size := _usable(case, gpu, share)) is not None]
    return Choice(gpus=gpus, share=share, usable_bytes=min(usable, default=None))


def _most(case: Case, gpu: Gpu) -> float | None:
    """Return the largest share, 0 to 1, of this GPU that the engine may take; None if memory is unknown."""
    total, free = total_bytes(gpu, case.hardware), takeable_bytes(gpu, case.hardware)
    if not total:
        return None
    if (configured := configured_share(case)) is not None:
        return configured
    most = MOST_UTILIZATION if case.profile.names_gpu else ENGINE_UTILIZATION
    return most if free is None else max(min(most, free / total), 0.0)


def _holds(case: Case, gpu: Gpu, most: float | None, share: float) -> bool:
    """Return True if a GPU holds its part of the profile at this share, or if that is unknown."""
    usable = _usable(case, gpu, share)
    if usable is None or most is None:
        return usable is None or usable >= (case.estimate.need_bytes or 0)
    return most >= share and usable >= (case.estimate.need_bytes or 0)


def _usable(case: Case, gpu: Gpu, share: float | None) -> int | None:
    """Return the bytes of this GPU that the engine may take at this share; None if unknown."""
    total, free = total_bytes(gpu, case.hardware), takeable_bytes(gpu, case.hardware)
    if case.estimate.reserved_bytes is not None:
        return free if free is not None else None if total is None else total - CONTEXT_BYTES
    limit = None if total is None or share is None else int(total * share)
    return min((size for size in (free, limit) if size is not None), default=None)
