"""A recipe's opt-in features → manifest variants, which a user adds to a profile by name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nim.engine import OptionTable
from nim.frozen_dataclass import frozen_dataclass
from nim.recipes.find_refused_arguments import Reason, judge_parts
from nim.recipes.hardware_names import EVERY_GPU, find_target
from nim.recipes.manifest_draft import DraftVariant
from nim.recipes.override_precedence import (
    EXPERT_PARALLEL,
    UNSUPPORTED,
    Part,
    Setting,
    gpu_chain,
    strategy_of,
    suits,
    unsupported_on,
    works_with,
)
from nim.recipes.read_recipe_file import FeatureOverride, Mode, Recipe
from nim.recipes.required_gpu_counts import can_calculate


@dataclass(slots=True, kw_only=True)
class Named:
    """The variants made, what was refused and what was left out."""

    variants: tuple[DraftVariant, ...] = ()
    refused: list[Reason] = field(default_factory=list)
    left_out: list[Reason] = field(default_factory=list)


@frozen_dataclass
class _Plan:
    """A variant before its arguments are checked."""

    name: str
    summary: str
    parts: tuple[Part, ...]


def variants_of(recipe: Recipe, chosen: Sequence[str], foreign: frozenset[str], table: OptionTable) -> Named:
    """Return the opt-in features as manifest variants in a `Named`; `chosen` variants have profiles."""
    named = Named()
    found: list[DraftVariant] = []
    for plan in _plans(recipe, chosen, foreign, named):
        if not plan.name or any(plan.name == other.name for other in found):
            named.left_out.append(
                Reason(key=plan.parts[0].key, text=f"its name is empty or in use: '{plan.name}'")
            )
            continue
        checked = judge_parts(plan.parts, table)
        named.refused += checked.refused
        named.left_out += checked.left_out
        if checked.options.args or checked.options.env:
            found.append(DraftVariant(name=plan.name, summary=plan.summary, options=checked.options))
    named.variants = tuple(found)
    return named


def _plans(recipe: Recipe, chosen: Sequence[str], foreign: frozenset[str], named: Named) -> Iterator[_Plan]:
    """Yield a `_Plan` per variant to make of the opt-in features; others are recorded in `named`."""
    strategy = strategy_of(recipe)
    for name in _asked_for(recipe):
        feature = recipe.features[name]
        if not works_with(feature, strategy):
            named.left_out.append(Reason(key=f"features.{name}", text=f"it does not work with {strategy}"))
            continue
        place = f"features.{name}"
        if EVERY_GPU in unsupported_on(feature.hardware):
            named.left_out.append(Reason(key=f"{place}.hardware.{EVERY_GPU}", text=UNSUPPORTED))
            continue
        base = Part(key=place, args=feature.args, whole=True)
        not_on = _ours_among(unsupported_on(feature.hardware))
        if feature.args or not feature.modes:
            about = _but_not_on(feature.description, name, not_on)
            overrides: Mapping[str, FeatureOverride] = feature.hardware_overrides
            yield from _with_hardware(place, slug(name), about, (base,), overrides, foreign | not_on)
        for key, mode in feature.modes.items():
            if any(suits(mode, Setting(variant=one, chain=gpu_chain())) for one in chosen):
                part = Part(key=f"{place}.modes.{key}", args=mode.args, whole=True)
                called, both = slug(f"{name}-{key}"), (base, part)
                never = not_on | _ours_among(unsupported_on(mode.hardware))
                about = _but_not_on(_mode_summary(recipe, mode, chosen), called, never)
                overrides = _within_reach(recipe, mode, chosen)
                yield from _with_hardware(part.key, called, about, both, overrides, foreign | never)
    yield from _expert_parallel(recipe, strategy)


def _ours_among(keys: Sequence[str]) -> frozenset[str]:
    """Return those hardware keys that name NVIDIA GPUs."""
    return frozenset(key for key in keys if find_target(key))


def _but_not_on(about: str, name: str, keys: frozenset[str]) -> str:
    """Return the summary with "(not on …)" appended for the hardware keys; unchanged without any."""
    return f"{_sentence(about, name)} (not on {', '.join(sorted(keys))})" if keys else about


def _asked_for(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the features that are opt-in, on all hardware or on some."""
    on_some = [name for names in recipe.hardware_opt_in_features.values() for name in names]
    wanted = dict.fromkeys([*recipe.opt_in_features, *on_some])
    return tuple(name for name in wanted if name in recipe.features)


def _with_hardware(
    place: str,
    name: str,
    about: str,
    base: tuple[Part, ...],
    overrides: Mapping[str, FeatureOverride],
    foreign: frozenset[str],
) -> Iterator[_Plan]:
    """Yield the `_Plan` of a variant, and one more per GPU key with an override."""

    def part(key: str) -> Part:
        """Return the part with the overrides for one hardware key."""
        return Part(key=f"{place}.hardware_overrides.{key}", args=overrides[key].args, whole=True)

    if EVERY_GPU in overrides:
        base = (*base, part(EVERY_GPU))
    yield _Plan(name=name, summary=_sentence(about, name), parts=base)
    for key in overrides:
        if find_target(key) and key not in foreign:
            summary = f"{_sentence(about, name)} (on {key})"
            yield _Plan(name=f"{name}-{slug(key)}", summary=summary, parts=(*base, part(key)))


def _mode_summary(recipe: Recipe, mode: Mode, chosen: Sequence[str]) -> str:
    """Return the mode's description, with its precisions if it does not apply to all variants."""
    fit = [one for one in chosen if suits(mode, Setting(variant=one))]
    if len(fit) == len(chosen):
        return mode.description
    precisions = ", ".join(recipe.variants[one].precision for one in fit)
    return f"{mode.description.rstrip(' .')} (for {precisions} alone)"


def _within_reach(recipe: Recipe, mode: Mode, chosen: Sequence[str]) -> dict[str, FeatureOverride]:
    """Return {hardware key: the mode's override} for hardware that supports one of its precisions."""
    precisions = [recipe.variants[one].precision for one in chosen if suits(mode, Setting(variant=one))]
    return {
        key: override
        for key, override in mode.hardware_overrides.items()
        if key == EVERY_GPU
        or any(
            can_calculate(product, precision)
            for precision in precisions
            if (target := find_target(key))
            for product in target.products
        )
    }


def _expert_parallel(recipe: Recipe, strategy: str) -> Iterator[_Plan]:
    """Yield the `_Plan`s for expert parallelism if the recipe allows it and it is not the default."""
    said = recipe.strategy_overrides.get(EXPERT_PARALLEL)
    if EXPERT_PARALLEL not in recipe.compatible_strategies or strategy == EXPERT_PARALLEL:
        return
    if "--enable-expert-parallel" in recipe.model.base_args:
        return
    key = f"strategy_overrides.{EXPERT_PARALLEL}"
    parts = [Part(key="compatible_strategies", args=("--enable-expert-parallel",))]
    about = "spreads whole experts over the GPUs"
    overrides = said.hardware_overrides if said else {}
    if said:
        args, env = (*said.extra_args, *said.vllm_args), {**said.extra_env, **said.env}
        parts.append(Part(key=key, args=args, env=env))
    yield _Plan(name="expert-parallel", summary=about, parts=tuple(parts))
    for hardware, override in overrides.items():
        if find_target(hardware):
            more = Part(
                key=f"{key}.hardware_overrides.{hardware}", args=override.extra_args, env=override.extra_env
            )
            name = f"expert-parallel-{slug(hardware)}"
            yield _Plan(name=name, summary=f"{about} (on {hardware})", parts=(*parts, more))


def slug(name: str) -> str:
    """Return a name in lower case with words joined by dashes, as variants are named."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _sentence(text: str, name: str) -> str:
    """Return a description on one line without a final period; `name` if it is empty."""
    return " ".join(text.split()).rstrip(".") or name
