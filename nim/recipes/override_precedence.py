"""The parts of a recipe that apply to one variant on one kind of hardware, in order of precedence.

General parts come first: those of the model, the variant, the strategy and the features. Then come the
overrides for all NVIDIA GPUs, for the generation and for the machine; later parts win. A strategy's override
for a kind of hardware replaces those of the model and the variant for it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field

from nim.frozen_dataclass import frozen_dataclass
from nim.recipes.hardware_names import EVERY_GPU
from nim.recipes.read_recipe_file import Feature, Mode, Override, Recipe, StrategyOverride

TENSOR_PARALLEL = "single_node_tp"
EXPERT_PARALLEL = "single_node_tep"
UNSUPPORTED = "unsupported"
SEVERAL_NODES = "multi_node_tp_pp"
_NO_OVERRIDE = StrategyOverride()


@frozen_dataclass
class Part:
    """Arguments and variables from one place of the recipe, named by its key.

    If `whole`, as for a feature, the part is used completely or not at all.
    """

    key: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    whole: bool = False


@frozen_dataclass
class Setting:
    """A variant, a strategy and the names that apply to the hardware, the most general first."""

    variant: str
    strategy: str = TENSOR_PARALLEL
    chain: tuple[str, ...] = ()


def strategy_of(recipe: Recipe) -> str:
    """Return the recipe's default strategy if it is tensor or expert parallel; else tensor parallel."""
    named = recipe.default_strategy
    return named if named in (TENSOR_PARALLEL, EXPERT_PARALLEL) else TENSOR_PARALLEL


def parts(recipe: Recipe, setting: Setting) -> tuple[Part, ...]:
    """Return a tuple of all `Part`s that apply to a setting, lowest precedence first, without empty ones."""
    found = [*_general(recipe, setting)]
    for key in setting.chain:
        found += _for_hardware(recipe, setting, key)
    return tuple(part for part in found if part.args or part.env or part.image)


def gpu_chain(*keys: str) -> tuple[str, ...]:
    """Return a tuple of the hardware keys that apply to an NVIDIA GPU: "nvidia", then `keys`."""
    return (EVERY_GPU, *keys)


def named_hardware(recipe: Recipe, setting: Setting) -> tuple[str, ...]:
    """Return a tuple of the hardware keys the recipe treats specially for this variant, in its order."""
    variant, strategy = recipe.variants[setting.variant], _strategy(recipe, setting.strategy)
    found = [*variant.hardware_overrides, *recipe.hardware_overrides, *strategy.hardware_overrides]
    found += [*recipe.hardware_opt_in_features]
    for name in recipe.features:
        if is_on(recipe, name, setting):
            feature = recipe.features[name]
            found += [*feature.hardware_overrides, *unsupported_on(feature.hardware)]
            mode = _mode(recipe, name, setting)
            found += [*mode[1].hardware_overrides, *unsupported_on(mode[1].hardware)] if mode else []
    found += [key for tp in (variant.tp, strategy.tp) if isinstance(tp, Mapping) for key in tp]
    return tuple(dict.fromkeys([*variant.supported_hardware, *found]))


def is_on(recipe: Recipe, name: str, setting: Setting) -> bool:
    """Return whether feature `name` is enabled by default in this setting."""
    feature = recipe.features[name]
    asked_for = name in recipe.opt_in_features or any(
        name in recipe.hardware_opt_in_features.get(key, ()) for key in setting.chain
    )
    fails = any(key in setting.chain for key in unsupported_on(feature.hardware))
    return not asked_for and not fails and works_with(feature, setting.strategy)


def unsupported_on(hardware: Mapping[str, str]) -> tuple[str, ...]:
    """Return the hardware keys marked as "unsupported"; () if none is."""
    return tuple(key for key, how in hardware.items() if how == UNSUPPORTED)


def works_with(feature: Feature, strategy: str) -> bool:
    """Return whether the feature works with a strategy; True if it names none."""
    return feature.strategies is None or strategy in feature.strategies


def default_tp(recipe: Recipe, setting: Setting) -> int | None:
    """Return the tensor-parallel size in the `tp` field of variant or strategy; None if neither has one."""
    sizes: list[int | Mapping[str, int] | None]
    sizes = [recipe.variants[setting.variant].tp, _strategy(recipe, setting.strategy).tp]
    for_hardware = [size for size in sizes if isinstance(size, Mapping)]
    for size in for_hardware:
        if found := next((size[key] for key in reversed(setting.chain) if key in size), None):
            return found
    return next((size for size in sizes if size and not isinstance(size, Mapping)), None)


def _general(recipe: Recipe, setting: Setting) -> Iterator[Part]:
    """Yield the `Part`s that apply on any hardware, the lowest precedence first."""
    model, variant = recipe.model, recipe.variants[setting.variant]
    strategy = _strategy(recipe, setting.strategy)
    yield Part(key="model.base_args", args=model.base_args)
    yield Part(key="model.base_env", env=model.base_env)
    yield Part(key=f"variants.{setting.variant}", args=variant.extra_args, env=variant.extra_env)
    if setting.strategy == EXPERT_PARALLEL:
        yield Part(key="default_strategy", args=("--enable-expert-parallel",))
    yield _strategy_part(setting.strategy, strategy)
    for name in recipe.features:
        if is_on(recipe, name, setting):
            yield from feature_parts(recipe, name, setting)


def feature_parts(recipe: Recipe, name: str, setting: Setting) -> Iterator[Part]:
    """Yield the `Part`s of a feature and of the mode that the variant uses by default."""
    feature = recipe.features[name]
    yield Part(key=f"features.{name}", args=feature.args, whole=True)
    if found := _mode(recipe, name, setting):
        yield Part(key=f"features.{name}.modes.{found[0]}", args=found[1].args, whole=True)


def _for_hardware(recipe: Recipe, setting: Setting, key: str) -> Iterator[Part]:
    """Yield the `Part`s of the overrides for one hardware key; the strategy's replace the others."""
    strategy = _strategy(recipe, setting.strategy)
    if key in strategy.hardware_overrides:
        place = f"strategy_overrides.{setting.strategy}.hardware_overrides.{key}"
        yield _override(place, strategy.hardware_overrides[key])
    else:
        yield _override(f"hardware_overrides.{key}", recipe.hardware_overrides.get(key))
    overrides = recipe.variants[setting.variant].hardware_overrides
    yield _override(
        f"variants.{setting.variant}.hardware_overrides.{key}",
        overrides.get(key),
        image_only=key in strategy.hardware_overrides,
    )
    for name, feature in recipe.features.items():
        if is_on(recipe, name, setting):
            yield from _feature_for_hardware(feature, name, key, _mode(recipe, name, setting))


def _feature_for_hardware(
    feature: Feature, name: str, key: str, mode: tuple[str, Mode] | None
) -> Iterator[Part]:
    """Yield the `Part`s of a feature's and its mode's overrides for one hardware key."""
    place = f"features.{name}"
    if key in feature.hardware_overrides:
        yield Part(
            key=f"{place}.hardware_overrides.{key}", args=feature.hardware_overrides[key].args, whole=True
        )
    if mode and key in mode[1].hardware_overrides:
        args = mode[1].hardware_overrides[key].args
        yield Part(key=f"{place}.modes.{mode[0]}.hardware_overrides.{key}", args=args, whole=True)


def _mode(recipe: Recipe, name: str, setting: Setting) -> tuple[str, Mode] | None:
    """Return (name, `Mode`) of the variant's default mode of a feature; None if there is none."""
    feature, variant = recipe.features[name], recipe.variants[setting.variant]
    wanted = variant.default_modes.get(name, feature.default_mode)
    mode = feature.modes.get(wanted or "")
    if wanted is None or mode is None or not suits(mode, setting):
        return None
    return wanted, mode


def suits(mode: Mode, setting: Setting) -> bool:
    """Return whether a mode applies to this variant and is not marked unsupported on this hardware."""
    for_variant = mode.variants is None or setting.variant in mode.variants
    return for_variant and not any(key in setting.chain for key in unsupported_on(mode.hardware))


def _strategy(recipe: Recipe, name: str) -> StrategyOverride:
    """Return the `StrategyOverride` of a strategy; an empty one if there is none."""
    return recipe.strategy_overrides.get(name, _NO_OVERRIDE)


def _strategy_part(name: str, strategy: StrategyOverride) -> Part:
    """Return a strategy's arguments and variables as a `Part`."""
    return Part(
        key=f"strategy_overrides.{name}",
        args=(*strategy.extra_args, *strategy.vllm_args),
        env={**strategy.extra_env, **strategy.env},
    )


def _override(key: str, override: Override | None, *, image_only: bool = False) -> Part:
    """Return an override as a `Part`; an empty one for None."""
    if override is None:
        return Part(key=key)
    if image_only:
        return Part(key=key, image=override.docker_image)
    return Part(key=key, args=override.extra_args, env=override.extra_env, image=override.docker_image)
