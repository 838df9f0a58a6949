"""What a recipe comes to before it is text: a manifest whose values know where the recipe says them."""

from collections.abc import Mapping
from dataclasses import dataclass

from nim.recipes.options import Options, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftProfile:
    """One profile with all its options. `memory_gb` is per GPU; the comment says why it is unknown."""

    tags: Mapping[str, str]
    options: Options
    memory_gb: float | None = None
    comment: str | None = None

    @property
    def precision(self) -> str:
        return self.tags["precision"]

    @property
    def shape(self) -> tuple[str | None, str, str]:
        """What its label tells apart, beside the precision."""
        return self.tags.get("gpu"), self.tags["tp"], self.tags["pp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftCheckpoint:
    """One set of weights. `weights_gb` is given where parameters times bytes would be too much."""

    precision: str
    variant: str
    source: str
    about: str
    weights_gb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftVariant:
    """Options to be added by name."""

    name: str
    summary: str
    options: Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The manifest to be. `notes` is everything of the recipe that did not come along, and why."""

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
    """What all have alike."""
    first, *rest = parts
    return Options(
        args={k: v for k, v in first.args.items() if all(_same(v, o.args.get(k)) for o in rest)},
        env={k: v for k, v in first.env.items() if all(_same(v, o.env.get(k)) for o in rest)},
    )


def without(options: Options, others: Options) -> Options:
    """The options that the others do not have."""
    return Options(
        args={k: v for k, v in options.args.items() if k not in others.args},
        env={k: v for k, v in options.env.items() if k not in others.env},
    )


def same_options(one: Options, other: Options) -> bool:
    """Whether they do the same, wherever the recipe says it."""
    return plain(one) == plain(other)


def plain(options: Options) -> tuple[dict[str, object], dict[str, object]]:
    """Only the values."""
    return (
        {name: said.value for name, said in options.args.items()},
        {name: said.value for name, said in options.env.items()},
    )


def _same(one: object, other: object) -> bool:
    mine, theirs = getattr(one, "value", None), getattr(other, "value", None)
    return other is not None and type(mine) is type(theirs) and mine == theirs
