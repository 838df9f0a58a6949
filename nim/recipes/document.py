"""A vLLM recipe as its file has it: how a model is served on which hardware, written for people.

The field names are the file's keys; a key that no field names is an error with its line. What an importer
has no use for is read as it is (`Any`), so that only what is used is demanded. Sizes in GB are 10^9 bytes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yaml import MappingNode, Node

from nim.errors import ManifestError
from nim.manifest.read import read
from nim.manifest.types import about
from nim.manifest.yaml_lines import Place, compose
from nim.recipes.hardware import CPU_KEYS, EVERY_GPU, find_target

MAX_BYTES = 4 * 1024**2
# As it is written, whatever YAML would make of it: dates and versions look like numbers.
_RAW = about("", pattern=r"(?s).*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What one kind of hardware adds. `install_note` tells people how to install the engine there."""

    extra_args: tuple[str, ...] = ()
    extra_env: Mapping[str, str] = field(default_factory=dict)
    docker_image: str | None = None
    install_note: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureOverride:
    """What one kind of hardware adds to a feature."""

    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One of several ways to do a feature. `variants` are those that it is for; None is all."""

    label: str | None = None
    description: str = ""
    args: tuple[str, ...] = ()
    variants: tuple[str, ...] | None = None
    hardware: Mapping[str, str] = field(default_factory=dict)
    hardware_overrides: Mapping[str, FeatureOverride] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """What the model can do if the engine is told to. `strategies`: those that it works with; None is all.

    `hardware` says where it was verified, or is known to fail.
    """

    label: str | None = None
    description: str = ""
    args: tuple[str, ...] = ()
    strategies: tuple[str, ...] | None = None
    hardware: Mapping[str, str] = field(default_factory=dict)
    default_mode: str | None = None
    modes: Mapping[str, Mode] = field(default_factory=dict)
    hardware_overrides: Mapping[str, FeatureOverride] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeVariant:
    """One set of weights. `vram_minimum_gb` is what all its GPUs together must have.

    `tp` is a number, or one for each hardware.
    """

    precision: str = field(metadata=_RAW)
    vram_minimum_gb: float
    model_id: str | None = None
    label: str | None = None
    description: str = ""
    tp: Any = None
    min_vllm_version: str | None = field(default=None, metadata=_RAW)
    supported_hardware: tuple[str, ...] = ()
    default_modes: Mapping[str, str] = field(default_factory=dict)
    extra_args: tuple[str, ...] = ()
    extra_env: Mapping[str, str] = field(default_factory=dict)
    hardware_overrides: Mapping[str, Override] = field(default_factory=dict)
    docker_image: Any = None
    precision_hardware: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyOverride:
    """What one way of spreading the model over GPUs adds. `tp` is a number, or one for each hardware."""

    tp: Any = None
    extra_args: tuple[str, ...] = ()
    vllm_args: tuple[str, ...] = ()
    extra_env: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    hardware_overrides: Mapping[str, Override] = field(default_factory=dict)
    prefill: Any = None
    decode: Any = None
    router: Any = None
    pool_modes: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """What must be installed beside the engine."""

    command: str
    note: str = ""
    brand: str | None = None
    optional: Any = False
    install_modes: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeModel:
    """What is served, and the options that every way of serving it has. `context_length` 0 is none."""

    model_id: str
    min_vllm_version: str | None = field(default=None, metadata=_RAW)
    nightly_required: Any = False
    docker_image: Any = None
    parameter_count: str | None = field(default=None, metadata=_RAW)
    active_parameters: str | None = field(default=None, metadata=_RAW)
    context_length: Any = None
    base_args: tuple[str, ...] = ()
    base_env: Mapping[str, str] = field(default_factory=dict)
    flashinfer_autotune: Any = None
    architecture: Any = None
    docker_source: Any = None
    install: Any = None
    supports_dcp: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What is told to people. `hardware` says on what it was verified, or is known not to run."""

    title: str = ""
    description: str = ""
    hardware: Mapping[str, str] = field(default_factory=dict)
    date_added: str | None = field(default=None, metadata=_RAW)
    date_updated: str | None = field(default=None, metadata=_RAW)
    default_hardware: Any = None
    difficulty: Any = None
    performance_headline: Any = None
    platforms: Any = None
    provider: Any = None
    related_recipes: Any = None
    slug: Any = None
    tasks: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The whole file. Features are on unless they are named as opt-in."""

    meta: Meta = Meta()
    model: RecipeModel
    variants: Mapping[str, RecipeVariant]
    features: Mapping[str, Feature] = field(default_factory=dict)
    opt_in_features: tuple[str, ...] = ()
    hardware_opt_in_features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    compatible_strategies: tuple[str, ...] = ()
    default_strategy: str | None = None
    hardware_overrides: Mapping[str, Override] = field(default_factory=dict)
    strategy_overrides: Mapping[str, StrategyOverride] = field(default_factory=dict)
    dependencies: tuple[Dependency, ...] = ()
    kv_offload_support: Any = None
    strategy_hardware: Any = None
    strategy_min_gpus: Any = None
    hardware_notes: Any = None
    omni: Any = None
    guide: Any = None


def load_recipe(path: Path) -> Recipe:
    """The recipe in a file. ManifestError says what in it cannot be read, and in which line."""
    return read_recipe(_text(path), name=str(path))


def read_recipe(text: str, *, name: str = "<recipe>") -> Recipe:
    """The recipe in `text`. Errors call it `name`."""
    place = Place(name)
    try:
        node = compose(text, place)
    except ManifestError as error:
        raise ManifestError(error.message.replace("manifest", "recipe")) from None
    _empty_foreign_overrides(node)
    recipe: Recipe = read(Recipe, node, place, "recipe")
    if not recipe.variants:
        raise ManifestError(f"cannot use the recipe '{name}': it has no variants, so no weights")
    for key, number in _numbers(recipe):
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise ManifestError(f"cannot use {number!r} as recipe.{key}: it is not a whole number ({name})")
    return recipe


def _empty_foreign_overrides(node: Node) -> None:
    """Take out what a recipe says for hardware that this engine does not run on: it may have other fields."""
    pairs = node.value if isinstance(node, MappingNode) else []
    for _, value in pairs:
        _empty_foreign_overrides(value)
    for key, value in pairs:
        if key.value == "hardware_overrides" and isinstance(value, MappingNode):
            value.value = [(name, part if _is_ours(name) else _empty(part)) for name, part in value.value]


def _is_ours(name: Node) -> bool:
    return name.value in (EVERY_GPU, *CPU_KEYS) or find_target(str(name.value)) is not None


def _empty(node: Node) -> MappingNode:
    return MappingNode("tag:yaml.org,2002:map", [], node.start_mark, node.end_mark)


def _numbers(recipe: Recipe) -> Iterator[tuple[str, object]]:
    """What is a number in some recipes and something else in others, where it is given."""
    if recipe.model.context_length is not None:
        yield "model.context_length", recipe.model.context_length
    sizes = {f"strategy_overrides.{name}.tp": one.tp for name, one in recipe.strategy_overrides.items()}
    sizes |= {f"variants.{name}.tp": one.tp for name, one in recipe.variants.items()}
    for place, said in sizes.items():
        for key, number in said.items() if isinstance(said, Mapping) else [("", said)]:
            if number is not None:
                yield f"{place}{'.' if key else ''}{key}", number


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ManifestError(f"cannot read the recipe '{path}': it is larger than {MAX_BYTES >> 20} MiB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(f"cannot read the recipe '{path}': {error.strerror}") from None
    except UnicodeDecodeError:
        raise ManifestError(f"cannot read the recipe '{path}': it is not UTF-8 text") from None
