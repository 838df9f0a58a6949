"""One profile against one set of equal GPUs: the values of that comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from nim.hardware.types import GIB, Gpu, Hardware
from nim.manifest import Profile
from nim.selection.memory import Estimate


class Kind(IntEnum):
    """What is missing, the easiest to change first."""

    CONTEXT = 1
    WISH = 2
    BUSY = 3
    COUNT = 4
    MEMORY = 5
    CAPABILITY = 6
    MODEL = 7
    ENGINE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user asked for. None is no wish; `tags_selector` has items such as `precision=fp8`.

    `engine_build` is `cpu` or `gpu`; None where no engine is installed: then the hardware decides.
    """

    profile: str | None = None
    tags_selector: tuple[str, ...] = ()
    lora: bool = False
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    nodes: int = 1
    allow_nvfp4_emulation: bool = False
    engine_build: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """GPUs of one kind, in the user's order. A machine without GPUs has one group without GPUs."""

    gpus: tuple[Gpu, ...] = ()

    def __str__(self) -> str:
        if not self.gpus:
            return "no GPU"
        first = self.gpus[0]
        part = f" (MIG {first.mig.profile or 'slice'})" if first.mig else ""
        return f"{len(self.gpus)} × {first.name or 'a GPU of unknown name'}{part}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that one comparison looks at. `tags` are the tags asked for."""

    profile: Profile
    group: Group
    hardware: Hardware
    wishes: Wishes
    tags: Mapping[str, str]
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One thing that is not as the profile needs it. `shortfall` compares misses of a kind."""

    kind: Kind
    needed: str
    found: str
    change: str | None = None
    shortfall: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where a profile goes: the GPUs it would use, and what is amiss with their memory.

    `usable_bytes` is what the engine may take of the smallest of them. `context` is the longest that it
    holds, where that is less than what is wanted. `utilization` is the share of each GPU to tell the engine,
    where its default does not do. `notes` say what could not be checked.
    """

    devices: tuple[Gpu, ...] = ()
    usable_bytes: int | None = None
    miss: Miss | None = None
    context: int | None = None
    utilization: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A profile on a group, compared."""

    profile: Profile
    group: Group
    estimate: Estimate
    misses: tuple[Miss, ...]
    room: Room

    @property
    def fits(self) -> bool:
        return not self.misses

    @property
    def low_memory(self) -> bool:
        """Whether it starts with a shorter context, and lacks nothing else."""
        return bool(self.misses) and all(miss.kind is Kind.CONTEXT for miss in self.misses)

    @property
    def distance(self) -> tuple[int, int, float]:
        """How far from fitting: smaller is nearer."""
        worst = max((int(miss.kind) for miss in self.misses), default=0)
        return worst, len(self.misses), sum(miss.shortfall for miss in self.misses)


def groups(hardware: Hardware) -> tuple[Group, ...]:
    """The GPUs by kind, the best kind first: most memory on one GPU, then newest, then most GPUs.

    Memory does not divide a kind: what matters is whether enough of its GPUs have enough of it.
    """
    kinds: dict[tuple[object, ...], list[Gpu]] = {}
    for gpu in hardware.gpus:
        kinds.setdefault(_kind(gpu), []).append(gpu)
    found = [Group(gpus=tuple(gpus)) for gpus in kinds.values()]
    return tuple(sorted(found, key=_best_first)) or (Group(),)


def _kind(gpu: Gpu) -> tuple[object, ...]:
    return gpu.pci_id or gpu.name, gpu.compute_capability, gpu.mig is None, gpu.mig and gpu.mig.profile


def _best_first(group: Group) -> tuple[int, ...]:
    # To the nearest 8 GiB: an A100 of 80 GB reports a little more than an H100 of 80 GB, and is not better.
    memory = round(max((gpu.memory_total_bytes or 0 for gpu in group.gpus), default=0) / (8 * GIB))
    major, minor = group.gpus[0].compute_capability or (0, 0)
    return -memory, -major, -minor, -len(group.gpus), group.gpus[0].index
