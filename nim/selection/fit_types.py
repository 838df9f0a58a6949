"""Values of a comparison of one profile with one group of GPUs: requirements, misses, memory, result."""

from collections.abc import Mapping
from dataclasses import field
from enum import IntEnum

from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.types import Gpu, Hardware
from nim.manifest import Profile
from nim.models.facts import ModelFacts
from nim.selection.effective_options import EngineOptions
from nim.selection.gpu_groups import Group
from nim.selection.memory.estimate import Estimate
from nim.selection.memory.estimate_inputs import DraftModel
from nim.selection.parallel_sizes import Parallel
from nim.value_origins import Value


class Kind(IntEnum):
    """The kinds of unmet requirements, the easiest to change first."""

    CONTEXT = 1  # memory for so long a context
    LENGTH = 2  # a context that the engine takes
    WISH = 3  # what was asked for
    BUSY = 4  # memory that other processes hold
    COUNT = 5  # GPUs
    MEMORY = 6  # memory
    SIZE = 7  # the parallel sizes that were asked for
    CAPABILITY = 8  # arithmetic
    MODEL = 9  # the kind of GPU that the profile names
    OPTION = 10  # an option that the engine refuses for the model
    SPLIT = 11  # sizes that the model can be split into
    ENGINE = 12  # another engine


@frozen_dataclass
class Wishes:
    """The user's requirements. None is no requirement; `tags_selector` has items such as `precision=fp8`.

    `options` are the engine's options and variables as they were written, whichever layer they are in.
    `speculates`: by the manifest's own means. `draft`: the draft model; None without one here.
    `engine_build` is `cpu` or `gpu`; None where no engine is installed: then the hardware decides.
    """

    profile: str | None = None
    tags_selector: tuple[str, ...] = ()
    options: Mapping[str, Value] = field(default_factory=dict)
    allow_nvfp4_emulation: bool = False
    speculates: bool = False
    draft: DraftModel | None = None
    engine_build: str | None = None

    def option(self, name: str) -> object:
        """Return the value that the user set for an option; None if it is not set."""
        return EngineOptions(values=self.options).get(name)

    def size(self, name: str) -> int | None:
        """Return the option the user set if it is a whole number above 0; None otherwise."""
        return EngineOptions(values=self.options).integer(name)


@frozen_dataclass
class Case:
    """All inputs of one comparison.

    `tags` are the tags asked for, which narrow the choice unless a profile was asked for by its name.
    `named`: it was this one. `generic`: the model has no manifest, its profiles differ only in their sizes.
    `facts` are what the model's own files say, where they are at hand.
    """

    profile: Profile
    group: Group
    hardware: Hardware
    wishes: Wishes
    tags: Mapping[str, str]
    narrowed: bool
    named: bool
    generic: bool
    options: EngineOptions
    parallel: Parallel
    facts: ModelFacts | None
    estimate: Estimate


@frozen_dataclass
class Miss:
    """One requirement that is not met. `shortfall` orders misses of a kind.

    `alone` is the whole of it in one sentence, where it does not depend on the profile that is compared.
    `certain`: the engine would refuse it. A miss that is not certain is an estimate or a preference: it does
    not refuse a profile that was asked for by name.
    """

    kind: Kind
    needed: str
    found: str
    change: str | None = None
    shortfall: float = 0.0
    certain: bool = True
    alone: str | None = None


@frozen_dataclass
class MemoryFit:
    """The GPUs that a profile would use, and what prevents their memory from holding it.

    `usable_bytes` is what the engine may take of the smallest of them. `context` is the longest that it
    holds, where that is less than what is wanted, or where the engine is to find it. `utilization` is the
    share of each GPU to tell the engine, where its default does not do. `notes` are what the user should
    know. `busy`: other processes hold a noticeable part of one of them,
    `crowded`: most of it.
    """

    devices: tuple[Gpu, ...] = ()
    usable_bytes: int | None = None
    miss: Miss | None = None
    context: int | None = None
    utilization: float | None = None
    notes: tuple[str, ...] = ()
    busy: bool = False
    crowded: bool = False


@frozen_dataclass
class Fit:
    """The result for a profile on a group. `fallback`: how the engine runs a format that the GPU lacks."""

    profile: Profile
    group: Group
    options: EngineOptions
    parallel: Parallel
    estimate: Estimate
    misses: tuple[Miss, ...]
    memory_fit: MemoryFit
    fallback: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Return True if all requirements are met."""
        return not self.misses

    @property
    def low_memory(self) -> bool:
        """Return True if only the context is too long: a shorter one would run."""
        return bool(self.misses) and all(miss.kind is Kind.CONTEXT for miss in self.misses)

    @property
    def distance(self) -> tuple[int, int, float]:
        """Return a sort key (worst kind, number of misses, shortfall): smaller is nearer to fitting."""
        worst = max((int(miss.kind) for miss in self.misses), default=0)
        return worst, len(self.misses), sum(miss.shortfall for miss in self.misses)
