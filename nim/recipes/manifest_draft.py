"""The manifest made from a recipe, before it is text: each value has the recipe key it comes from."""

from collections.abc import Mapping

from nim.frozen_dataclass import frozen_dataclass
from nim.recipes.find_refused_arguments import Options, Reason


@frozen_dataclass
class DraftProfile:
    """One profile with all its options. `memory_gb` is per GPU; if unknown, `comment` says why."""

    tags: Mapping[str, str]
    options: Options
    memory_gb: float | None = None
    comment: str | None = None

    @property
    def precision(self) -> str:
        """Return the profile's precision tag, such as `fp8`."""
        return self.tags["precision"]

    @property
    def shape(self) -> tuple[str | None, str, str]:
        """Return the tags (gpu, tp, pp): with the precision they make the label. gpu is None for any."""
        return self.tags.get("gpu"), self.tags["tp"], self.tags["pp"]


@frozen_dataclass
class DraftCheckpoint:
    """One set of weights. `weights_gb` is set only where parameters times bytes would overestimate it."""

    precision: str
    variant: str
    source: str
    about: str
    weights_gb: float | None = None


@frozen_dataclass
class DraftVariant:
    """A set of options that a user adds to a profile by name."""

    name: str
    summary: str
    options: Options


@frozen_dataclass
class Draft:
    """The content of the manifest. `notes` lists what was not imported from the recipe, and why."""

    recipe: str
    engine_version: str
    min_engine_version: str | None
    verified: tuple[str, ...]
    name: str
    source: str
    description: str
    total_billions: float | None
    active_billions: float | None
    max_model_len: int | None
    checkpoints: tuple[DraftCheckpoint, ...]
    variants: tuple[DraftVariant, ...]
    profiles: tuple[DraftProfile, ...]
    notes: tuple[Reason, ...]


def common_options(parts: tuple[Options, ...]) -> Options:
    """Return the `Options` that have the same value in all `parts`, of which there is at least one."""
    first, *rest = parts
    return Options(
        args={k: v for k, v in first.args.items() if all(_same(v, o.args.get(k)) for o in rest)},
        env={k: v for k, v in first.env.items() if all(_same(v, o.env.get(k)) for o in rest)},
    )


def without(options: Options, others: Options) -> Options:
    """Return the `Options` whose names are not in `others`."""
    return Options(
        args={k: v for k, v in options.args.items() if k not in others.args},
        env={k: v for k, v in options.env.items() if k not in others.env},
    )


def same_options(one: Options, other: Options) -> bool:
    """Return whether both have equal names and values, wherever in the recipe they come from."""
    return plain(one) == plain(other)


def plain(options: Options) -> tuple[dict[str, object], dict[str, object]]:
    """Return (arguments, variables) as two dicts of plain values, without their origin."""
    return (
        {name: said.value for name, said in options.args.items()},
        {name: said.value for name, said in options.env.items()},
    )


def _same(one: object, other: object) -> bool:
    """Return whether two `Sourced` have equal values of the same type; False if `other` is None."""
    mine, theirs = getattr(one, "value", None), getattr(other, "value", None)
    return other is not None and type(mine) is type(theirs) and mine == theirs
