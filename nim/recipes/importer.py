"""A public vLLM recipe → the draft of a manifest, with notes on what was not imported and why."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nim.engine import OptionTable
from nim.errors import ManifestError, nearest
from nim.frozen_dataclass import frozen_dataclass
from nim.recipes.find_refused_arguments import Reason
from nim.recipes.hardware_names import find_target
from nim.recipes.make_profiles import Found, Weights, other_hardware, profiles_of
from nim.recipes.manifest_draft import Draft, DraftCheckpoint
from nim.recipes.opt_in_variants import variants_of
from nim.recipes.override_precedence import EXPERT_PARALLEL, SEVERAL_NODES, TENSOR_PARALLEL
from nim.recipes.read_recipe_file import Recipe
from nim.recipes.required_gpu_counts import weights_gb
from nim.selection.memory.weights import BYTES_PER_PARAMETER

HUB = "hf://"
_BILLIONS = {"M": 0.001, "B": 1.0, "T": 1000.0}
_EXPRESSIBLE_STRATEGIES = (TENSOR_PARALLEL, EXPERT_PARALLEL, SEVERAL_NODES)


class RecipeRefused(ManifestError):
    """Raised when a recipe cannot be imported; `reasons` lists every cause."""

    def __init__(self, name: str, reasons: Sequence[Reason], hint: str | None = None) -> None:
        lines = [f"  {reason}" for reason in reasons]
        super().__init__("\n".join([f"cannot import the recipe '{name}':", *lines]), hint=hint)
        self.reasons = tuple(reasons)


@frozen_dataclass
class Choice:
    """The user's choices: which variants to import (empty: all) and whether to drop unknown options."""

    variants: tuple[str, ...] = ()
    drop_unknown: bool = False


EVERY_VARIANT = Choice()


def import_recipe(recipe: Recipe, table: OptionTable, *, name: str, choice: Choice = EVERY_VARIANT) -> Draft:
    """Return the manifest `Draft` of a recipe for the engine of `table`; RecipeRefused if it is impossible.

    RecipeRefused lists every reason where the recipe cannot be imported.
    """
    _refuse_other_engines(recipe, table, name)
    chosen, notes = _choose_variants(recipe, table, choice, name)
    size = _billions(recipe.model.parameter_count) if _is_of_the_recipe(recipe, chosen[0].variant) else None
    chosen = [replace(one, gb=_weights(one, size)) for one in chosen]
    found = profiles_of(recipe, chosen, table)
    named = variants_of(recipe, [one.variant for one in chosen], _foreign(found), table)
    refused = list(dict.fromkeys([*(why for one in found for why in one.refused), *named.refused]))
    if refused and not choice.drop_unknown:
        raise RecipeRefused(name, refused, hint="nim profiles import --drop-unknown leaves these out")
    notes += [Reason(key=why.key, text=f"dropped: {why.text}") for why in refused]
    notes += [why for one in found for why in one.left_out]
    notes += [*named.left_out, *_other_notes(recipe, [one.variant for one in chosen])]
    profiles = [profile for one in found for profile in one.profiles]
    if not profiles:
        raise RecipeRefused(name, list(dict.fromkeys(notes)))
    kept = [one for one, its in zip(chosen, found, strict=True) if its.profiles]
    lead = recipe.variants[chosen[0].variant]
    source = lead.model_id or recipe.model.model_id
    own_name = recipe.model.model_id if _is_of_the_recipe(recipe, chosen[0].variant) else source
    return Draft(
        recipe=name,
        engine_version=table.version,
        min_engine_version=recipe.model.min_vllm_version,
        verified=tuple(key for key, how in recipe.meta.hardware.items() if how == "verified"),
        name=next((one.served_name for one in found if one.served_name), own_name),
        source=HUB + source,
        description=" ".join(recipe.meta.description.split()),
        total_billions=size,
        active_billions=_billions(recipe.model.active_parameters) if size else None,
        max_model_len=recipe.model.context_length or None,
        checkpoints=tuple(_checkpoint(recipe, one, size) for one in kept),
        variants=named.variants,
        profiles=tuple(profiles),
        notes=tuple(dict.fromkeys(notes)),
    )


def _refuse_other_engines(recipe: Recipe, table: OptionTable, name: str) -> None:
    """Raise RecipeRefused for a recipe of vLLM-Omni, or of a newer release of the engine."""
    images = recipe.model.docker_image
    images = [*images.values()] if isinstance(images, Mapping) else [images]
    if recipe.omni is not None or any("vllm-omni" in str(image) for image in images):
        why = "it is served by vLLM-Omni, which makes images, speech and video; this engine is `vllm serve`"
        raise RecipeRefused(name, [Reason(key="omni", text=why)])
    wanted = recipe.model.min_vllm_version
    if _is_newer(wanted, table.version):
        why = f"it needs vLLM {wanted} or newer, and this is made for {table.version}"
        raise RecipeRefused(name, [Reason(key="model.min_vllm_version", text=why)])


def _choose_variants(
    recipe: Recipe, table: OptionTable, choice: Choice, name: str
) -> tuple[list[Weights], list[Reason]]:
    """Return ([one `Weights` per precision of the chosen variants], notes); RecipeRefused if none is left."""
    for wanted in choice.variants:
        if wanted not in recipe.variants:
            near = nearest(wanted, tuple(recipe.variants), 1)
            message = f"cannot import the variant '{wanted}' of the recipe '{name}': it has none so called"
            hint = f"--variant {near[0]}" if near else None
            raise ManifestError(message, allowed=tuple(recipe.variants), hint=hint)
    chosen: dict[str, Weights] = {}
    notes = []
    for key, variant in recipe.variants.items():
        if choice.variants and key not in choice.variants:
            continue
        why = _why_excluded(recipe, key, table, chosen)
        if why:
            notes.append(Reason(key=f"variants.{key}", text=why))
        else:
            weights = Weights(
                variant=key, precision=variant.precision, vram_gb=variant.vram_minimum_gb, gb=None
            )
            chosen[variant.precision] = weights
    if not chosen:
        raise RecipeRefused(name, notes)
    return list(chosen.values()), notes


def _why_excluded(recipe: Recipe, key: str, table: OptionTable, chosen: Mapping[str, Weights]) -> str | None:
    """Return why a variant is not imported (text); None if it is."""
    variant = recipe.variants[key]
    if variant.supported_hardware and not any(find_target(one) for one in variant.supported_hardware):
        return f"it is for {', '.join(variant.supported_hardware)}, none of which this engine supports"
    if variant.precision not in BYTES_PER_PARAMETER:
        known = ", ".join(BYTES_PER_PARAMETER)
        return f"the precision '{variant.precision}' could be several; write one of {known} in the recipe"
    if _is_newer(variant.min_vllm_version, table.version):
        return f"it needs vLLM {variant.min_vllm_version} or newer, and this is made for {table.version}"
    if other := chosen.get(variant.precision):
        source = variant.model_id or recipe.model.model_id
        return f"{source} is {variant.precision} like '{other.variant}'; --variant {key} imports it alone"
    return None


def _weights(weights: Weights, billions: float | None) -> float | None:
    """Return the weights' GB: parameters times bytes, at most the recipe's memory; None if unknown."""
    size = weights_gb(billions, weights.precision)
    return weights.vram_gb if size is not None and size > weights.vram_gb else size


def _checkpoint(recipe: Recipe, weights: Weights, billions: float | None) -> DraftCheckpoint:
    """Return a `DraftCheckpoint`: source, precision, variant; GB only where not as computed."""
    variant = recipe.variants[weights.variant]
    computed = weights_gb(billions, weights.precision)
    return DraftCheckpoint(
        precision=weights.precision,
        variant=weights.variant,
        source=HUB + (variant.model_id or recipe.model.model_id),
        about=" ".join(f"{variant.label or ''} {variant.description}".split()),
        weights_gb=weights.gb if weights.gb != computed else None,
    )


def _other_notes(recipe: Recipe, variants: Sequence[str]) -> Iterator[Reason]:
    """Yield a `Reason` for each part of the recipe that a manifest cannot express."""
    model = recipe.model
    if model.nightly_required or not _release(model.min_vllm_version or "0"):
        why = f"it was written for '{model.min_vllm_version}'; whether this release has all of it is unknown"
        yield Reason(key="model.min_vllm_version", text=why)
    if images := _images(model.docker_image):
        yield Reason(key="model.docker_image", text=f"the recipe was tried with {', '.join(images)}")
    if model.flashinfer_autotune is not None:
        text = "the recipe does not say which arguments this means"
        yield Reason(key="model.flashinfer_autotune", text=text)
    if others := list(other_hardware(recipe, variants)):
        yield Reason(key="hardware", text=f"this engine does not run on {', '.join(others)}")
    if recipe.default_strategy not in (None, *_EXPRESSIBLE_STRATEGIES):
        text = f"{recipe.default_strategy}: the profiles are for {TENSOR_PARALLEL} instead"
        yield Reason(key="default_strategy", text=text)
    if ways := [way for way in recipe.compatible_strategies if way not in _EXPRESSIBLE_STRATEGIES]:
        why = f"{', '.join(ways)}: a profile is one engine with tp × pp GPUs"
        yield Reason(key="compatible_strategies", text=why)
    if recipe.kv_offload_support:
        yield Reason(key="kv_offload_support", text="the recipe does not say which arguments this means")
    for dependency in recipe.dependencies:
        if dependency.brand in (None, "NVIDIA"):
            note = " ".join(f"{dependency.command} ({dependency.note})".split())
            when = "may" if dependency.optional else "must"
            yield Reason(key="dependencies", text=f"{when} be installed beside the engine: {note}")


def _images(images: object) -> list[str]:
    """Return a list of the container image for NVIDIA GPUs; [] if none is stated."""
    if isinstance(images, Mapping):
        images = images.get("nvidia")
    return [str(images)] if images else []


def _is_of_the_recipe(recipe: Recipe, variant: str) -> bool:
    """Return whether the recipe's facts on its model apply to the variant.

    They do if it is the first variant or names no model.
    """
    return variant == next(iter(recipe.variants)) or recipe.variants[variant].model_id is None


def _foreign(found: Sequence[Found]) -> frozenset[str]:
    """Return the hardware keys, of all variants, that are unsupported or run on another engine."""
    return frozenset(key for one in found for key in one.foreign)


def _billions(text: str | None) -> float | None:
    """Return a parameter count such as `550B`, `2.8T` or `350M` in billions; None for other text."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([MBT])", (text or "").strip())
    return round(float(found[1]) * _BILLIONS[found[2]], 6) if found else None


def _is_newer(wanted: str | None, has: str) -> bool:
    """Return whether release `wanted` is newer than `has`; False for None."""
    return _release(wanted or "") > _release(has)


def _release(version: str) -> tuple[int, ...]:
    """Return `0.27.1` as (0, 27, 1); () if the text does not begin with a release number."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
