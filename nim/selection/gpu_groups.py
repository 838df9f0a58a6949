"""Group a machine's GPUs by kind: one start runs on the GPUs of one group."""

from collections.abc import Sequence

from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.types import GIB, Gpu, Hardware


@frozen_dataclass
class Group:
    """GPUs of one kind (of any kind if `mixed`), in the user's order. Empty on a machine without GPUs."""

    gpus: tuple[Gpu, ...] = ()
    mixed: bool = False

    @property
    def smallest(self) -> Gpu | None:
        """Return the Gpu with the least memory, the oldest of several; None without GPUs."""
        return min(
            self.gpus,
            key=lambda gpu: (gpu.memory_total_bytes or 0, gpu.compute_capability or (0, 0)),
            default=None,
        )

    def __str__(self) -> str:
        if not self.gpus:
            return "no GPU"
        return " with ".join(_words(gpus) for gpus in _by_kind(self.gpus))


def groups(hardware: Hardware) -> tuple[Group, ...]:
    """Return a tuple, one Group per kind of GPU, best kind first; one empty Group without GPUs.

    Memory does not divide a kind: what matters is whether enough of its GPUs have enough of it.
    """
    found = [Group(gpus=tuple(gpus)) for gpus in _by_kind(hardware.gpus)]
    return tuple(sorted(found, key=_best_first)) or (Group(),)


def all_groups(hardware: Hardware) -> tuple[Group, ...]:
    """Return a tuple, one Group per kind of GPU, and last a mixed one of all whole GPUs if several."""
    kinds = groups(hardware)
    whole = tuple(gpu for gpu in hardware.gpus if gpu.mig is None)
    several = sum(bool(group.gpus) and group.gpus[0].mig is None for group in kinds) > 1
    return (*kinds, Group(gpus=whole, mixed=True)) if several else kinds


def _by_kind(gpus: Sequence[Gpu]) -> Sequence[Sequence[Gpu]]:
    """Return the GPUs as sequences of one kind each, in order of first appearance."""
    kinds: dict[tuple[object, ...], list[Gpu]] = {}
    for gpu in gpus:
        kinds.setdefault(_kind(gpu), []).append(gpu)
    return tuple(kinds.values())


def _kind(gpu: Gpu) -> tuple[object, ...]:
    """Return the tuple that GPUs of one kind share: product, compute capability, MIG profile."""
    return gpu.pci_id or gpu.name, gpu.compute_capability, gpu.mig is None, gpu.mig and gpu.mig.profile


def _words(gpus: Sequence[Gpu]) -> str:
    """Return the number and name of GPUs of one kind as text: "2 × NVIDIA H100"."""
    first = gpus[0]
    part = f" (MIG {first.mig.profile or 'slice'})" if first.mig else ""
    return f"{len(gpus)} × {first.name or 'a GPU of unknown name'}{part}"


def _best_first(group: Group) -> tuple[int, ...]:
    """Return a group's sort key, a tuple of ints: most memory, then newest, then most GPUs first."""
    # To the nearest 8 GiB: an A100 of 80 GB reports a little more than an H100 of 80 GB, and is not better.
    memory = round(max((gpu.memory_total_bytes or 0 for gpu in group.gpus), default=0) / (8 * GIB))
    major, minor = group.gpus[0].compute_capability or (0, 0)
    return -memory, -major, -minor, -len(group.gpus), group.gpus[0].index
