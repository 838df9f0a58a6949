"""One variant of a recipe → profiles: for any GPU, for GPUs with overrides, and for a CPU."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from nim.engine import OptionTable
from nim.frozen_dataclass import frozen_dataclass
from nim.manifest.types import GB
from nim.recipes.find_refused_arguments import Checked, Reason, judge_parts
from nim.recipes.hardware_names import (
    CPU_KEYS,
    EVERY_GPU,
    Target,
    family_names,
    find_target,
    is_desktop,
    is_family,
    name_pattern,
)
from nim.recipes.manifest_draft import DraftProfile, same_options
from nim.recipes.override_precedence import (
    SEVERAL_NODES,
    UNSUPPORTED,
    Setting,
    default_tp,
    gpu_chain,
    named_hardware,
    parts,
    strategy_of,
)
from nim.recipes.read_recipe_file import Recipe
from nim.recipes.required_gpu_counts import Need, Shape, can_calculate, fits, general_shapes, shapes_for
from nim.selection.memory import ENGINE_UTILIZATION
from nim.selection.rank_profiles import PRECISIONS

_CPU_CACHE = "VLLM_CPU_KVCACHE_SPACE"
_OWN_IMAGE = re.compile(r"vllm/vllm-openai([:@]|$)")
_GIB = 1024**3


@frozen_dataclass
class Weights:
    """The weights of a set of profiles. `gb` is their size; None if unknown."""

    variant: str
    precision: str
    vram_gb: float
    gb: float | None


@dataclass(slots=True, kw_only=True)
class Found:
    """The profiles of one variant, and what was not imported; `foreign` hardware runs on another engine."""

    profiles: list[DraftProfile] = field(default_factory=list)
    refused: list[Reason] = field(default_factory=list)
    left_out: list[Reason] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    served_name: str | None = None


def profiles_of(recipe: Recipe, chosen: Sequence[Weights], table: OptionTable) -> list[Found]:
    """Return a `Found` (profiles, refusals) per set of weights; the first has the CPU profile, if any."""
    each = [_Profiles(recipe, weights, table) for weights in chosen]
    apart = {one: tuple(one.treated_apart()) for one in each}
    found = []
    for one in each:
        # Profiles that name a GPU rank first. Where larger weights have one, smaller weights need one too, or
        # they would no longer be preferred.
        others = [keys for other, keys in apart.items() if one.ranks_before(other)]
        keys = dict.fromkeys([*apart[one], *(key for keys in others for key in keys)])
        found.append(one.run(tuple(keys), on_cpu=one is each[0]))
    return found


class _Profiles:
    """The profiles of one variant while they are being made."""

    def __init__(self, recipe: Recipe, weights: Weights, table: OptionTable) -> None:
        self._recipe, self.weights, self._table = recipe, weights, table
        self._variant = recipe.variants[weights.variant]
        self._setting = Setting(variant=weights.variant, strategy=strategy_of(recipe), chain=gpu_chain())
        self._found = Found()

    def run(self, apart: Sequence[str], *, on_cpu: bool) -> Found:
        """Make all profiles of the variant and return `Found`; `apart` are hardware keys with their own."""
        targets = [target for key in apart if (target := find_target(key))]
        for key, how in self._recipe.meta.hardware.items():
            if how == UNSUPPORTED and find_target(key):
                self._found.foreign.add(key)
                self._found.left_out.append(Reason(key=f"meta.hardware.{key}", text=UNSUPPORTED))
        if not self._variant.supported_hardware:
            self._add_general()
        claimed: dict[Shape, set[str]] = {}
        for target in targets:
            for shape in self._add_target(target, ()) if not is_family(target) else ():
                claimed.setdefault(shape, set()).add(target.key)
        for family in filter(is_family, targets):
            self._add_target(family, tuple(claimed.items()))
        if on_cpu:
            self._add_cpu()
        if not self._found.profiles and not self._found.refused:
            self._note(
                "vram_minimum_gb", f"no known GPU provides the {self.weights.vram_gb:g} GB in this precision"
            )
        return self._found

    def ranks_before(self, other: "_Profiles") -> bool:
        """Return whether these weights' precision is preferred over the other's."""
        mine, theirs = self.weights.precision, other.weights.precision
        return PRECISIONS.index(mine) < PRECISIONS.index(theirs)

    def treated_apart(self) -> Iterator[str]:
        """Yield the hardware keys that need profiles of their own; records others' refusals."""
        if self._variant.supported_hardware:
            yield from self._variant.supported_hardware
            return
        for key in named_hardware(self._recipe, self._setting):
            target = find_target(key)
            if target and (self._foreign(target, self._for(target)) or self._differs(target)):
                yield key
            elif target:
                self._check(self._for(target))  # records refusals, although no profile is made

    def _add_general(self) -> None:
        """Add the profiles that fit any GPU to the result."""
        checked = self._check(self._setting)
        need = self._need(checked, self._setting)
        for shape in general_shapes(need):
            self._add(checked, self._setting, shape, {}, need)

    def _add_target(self, target: Target, claimed: Sequence[tuple[Shape, set[str]]]) -> list[Shape]:
        """Add the profiles for hardware with overrides; return their shapes ([] if none was added)."""
        setting = self._for(target)
        if not self._runs_on(target, setting):
            return []
        checked = self._check(setting)
        need = self._need(checked, setting)
        made = []
        for shape in shapes_for(target, need):
            taken = {key for other, keys in claimed if other == shape for key in keys}
            tags = self._gpu_tags(self._narrowed(target, shape, need), taken)
            if tags and self._add(checked, setting, shape, tags, need, target):
                made.append(shape)
        return made

    def _runs_on(self, target: Target, setting: Setting) -> bool:
        """Return whether this engine runs these weights on the target; records why not if it is foreign."""
        supported = self._variant.supported_hardware
        if foreign := self._foreign(target, setting):
            self._found.foreign.add(target.key)
            self._found.left_out.append(foreign)
            return False
        able = all(can_calculate(product, self.weights.precision) for product in target.products)
        return self._is_named(target) or (able and not supported)

    def _is_named(self, target: Target) -> bool:
        """Return whether the recipe names this hardware for these weights."""
        return target.key in (*self._variant.hardware_overrides, *self._variant.supported_hardware)

    def _foreign(self, target: Target, setting: Setting) -> Reason | None:
        """Return the `Reason` why the recipe excludes this engine on the hardware; None if it does not."""
        for part in parts(self._recipe, setting):
            if part.image and not _is_own(part.image):
                return Reason(
                    key=part.key, text=f"it is made for the image {part.image}, not for this engine"
                )
        if self._recipe.meta.hardware.get(target.key) == UNSUPPORTED:
            return Reason(key=f"meta.hardware.{target.key}", text=UNSUPPORTED)
        return None

    def _for(self, target: Target) -> Setting:
        """Return the `Setting` (variant, strategy, hardware keys) for a target."""
        return replace(self._setting, chain=gpu_chain(*target.chain))

    def _differs(self, target: Target) -> bool:
        """Return whether the target's options or sizes differ from the general ones."""
        setting = self._for(target)
        general = replace(setting, chain=gpu_chain(*target.chain[:-1]))
        ours, theirs = self._check(setting, quiet=True), self._check(general, quiet=True)
        sizes = [default_tp(self._recipe, one) for one in (setting, general)]
        return not same_options(ours.options, theirs.options) or ours.tp != theirs.tp or sizes[0] != sizes[1]

    def _gpu_tags(self, target: Target, claimed: set[str]) -> dict[str, str]:
        """Return the tags that select the target's GPUs; {} if no GPU of a generation is left."""
        if not is_family(target):
            tags = {"gpu": target.name.replace(" ", "-")}
            return tags | ({"gpu_device": target.device_id} if target.device_id else {})
        names = family_names(target, frozenset(claimed | self._found.foreign))
        return {"gpu": target.name, "product_name_regex": name_pattern(names)} if names else {}

    def _narrowed(self, target: Target, shape: Shape, need: Need) -> Target:
        """Return a generation's `Target` without GPUs that lack memory or unverified workstation GPUs."""
        if not is_family(target):
            return target
        tried = [find_target(key) for key, how in self._recipe.meta.hardware.items() if how == "verified"]
        names = {product.name for one in tried if one for product in one.products}
        usual = [one for one in target.products if not is_desktop(one) or one.name in names]
        return replace(target, products=tuple(one for one in usual if fits(one, shape, need)))

    def _add(
        self,
        checked: Checked,
        setting: Setting,
        shape: Shape,
        gpu: dict[str, str],
        need: Need,
        target: Target | None = None,
    ) -> bool:
        """Add one profile unless it does not fit or its label is taken; return whether it was added."""
        if shape.pp > 1:
            checked = self._check(replace(setting, strategy=SEVERAL_NODES))
            need = self._need(checked, setting)
        tags = {"llm_engine": "vllm", "precision": self.weights.precision}
        tags |= {"tp": str(shape.tp), "pp": str(shape.pp)} | gpu | {"feat_lora": "false"}
        holds = target is None or any(fits(product, shape, need) for product in target.products)
        if target and not holds and not self._is_named(target):
            return False
        share = f"the recipe's {need.vram_gb:g} GB exceed these GPUs, yet it was verified on them"
        profile = DraftProfile(
            tags=tags,
            options=checked.options,
            memory_gb=_round_up(need.engine_gb(shape.gpus)) if holds else None,
            comment=None if holds else f"memory_gb: unknown: {share}",
        )
        if any(profile.shape == other.shape for other in self._found.profiles):
            where = target.key if target else "any GPU"
            self._note("profiles", f"{where}: another profile has the label that this one would have")
            return False
        self._found.profiles.append(profile)
        return True

    def _add_cpu(self) -> None:
        """Add the CPU profile, if the recipe names a CPU, with memory for weights and KV cache."""
        known = {**self._recipe.hardware_overrides, **self._variant.hardware_overrides}
        verified = [key for key in CPU_KEYS if self._recipe.meta.hardware.get(key) == "verified"]
        if not verified and not any(key in known for key in CPU_KEYS):
            return
        setting = replace(self._setting, chain=CPU_KEYS)
        checked = self._check(setting)
        cache = checked.options.env.get(_CPU_CACHE)
        cache_gb = int(cache.value) * _GIB / GB if cache and cache.value.isdecimal() else 0.0
        tags = {"llm_engine": "vllm", "precision": self.weights.precision, "tp": "1", "pp": "1"}
        nodes = default_tp(self._recipe, setting) or 1
        several = f"the recipe spreads it over {nodes} NUMA nodes (tp)"
        self._found.profiles.append(
            DraftProfile(
                tags=tags | {"gpu": "cpu", "feat_lora": "false"},
                options=checked.options,
                memory_gb=_round_up(self.weights.vram_gb + cache_gb),
                comment=several if nodes > 1 else None,
            )
        )

    def _need(self, checked: Checked, setting: Setting) -> Need:
        """Return the weights' memory requirement as `Need`."""
        utilization = checked.options.args.get("gpu-memory-utilization")
        return Need(
            precision=self.weights.precision,
            vram_gb=self.weights.vram_gb,
            weights_gb=self.weights.gb,
            tp=checked.tp or default_tp(self._recipe, setting),
            utilization=float(utilization.value) if utilization else ENGINE_UTILIZATION,
            several_nodes=SEVERAL_NODES in self._recipe.compatible_strategies,
        )

    def _check(self, setting: Setting, *, quiet: bool = False) -> Checked:
        """Return the setting's arguments as `Checked`; unless `quiet`, record what was refused."""
        checked = judge_parts(parts(self._recipe, setting), self._table)
        if not quiet:
            self._found.refused += checked.refused
            self._found.left_out += checked.left_out
            self._found.served_name = checked.served_name or self._found.served_name
        return checked

    def _note(self, key: str, text: str) -> None:
        """Record a note on this variant as left out."""
        self._found.left_out.append(Reason(key=f"variants.{self.weights.variant}.{key}", text=text))


def other_hardware(recipe: Recipe, variants: Sequence[str]) -> Iterator[str]:
    """Yield the hardware keys in the recipe that name neither an NVIDIA GPU nor a supported CPU."""
    named = [*recipe.meta.hardware, *recipe.hardware_overrides]
    for variant in variants:
        named += [*recipe.variants[variant].hardware_overrides]
    for key in dict.fromkeys(named):
        if find_target(key) is None and key not in (EVERY_GPU, *CPU_KEYS):
            yield key


def _is_own(image: str) -> bool:
    """Return whether a container image's name is vLLM's own (vllm/vllm-openai)."""
    return _OWN_IMAGE.match(image) is not None


def _round_up(size: float) -> float:
    """Return a size rounded up to the next tenth."""
    return ceil(round(size * 10, 6)) / 10
