"""The dataclasses of a vLLM recipe file and the functions that read one.

The field names are the file's keys; an unknown key is an error that names its line. Keys that the importer
does not use are typed `Any` and not checked. Sizes in GB are 10^9 bytes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from yaml import MappingNode, Node

from nim.errors import ManifestError
from nim.frozen_dataclass import frozen_dataclass
from nim.manifest.types import about
from nim.manifest.yaml_nodes import Place, compose
from nim.manifest.yaml_to_dataclass import read
from nim.read_regular_file import read_text
from nim.recipes.hardware_names import CPU_KEYS, EVERY_GPU, find_target

MAX_BYTES = 4 * 1024**2
# The unconverted text: YAML would read dates and versions as numbers.
_RAW = about("", pattern=r"(?s).*")


@frozen_dataclass
class Override:
    """Arguments and variables added on one kind of hardware. `install_note` is for human readers."""

    extra_args: tuple[str, ...] = ()
    extra_env: Mapping[str, str] = field(default_factory=dict)
    docker_image: str | None = None
    install_note: Any = None


@frozen_dataclass
class FeatureOverride:
    """Arguments added to a feature on one kind of hardware."""

    args: tuple[str, ...] = ()


@frozen_dataclass
class Mode:
    """One of several ways to enable a feature. `variants` are those it applies to; None means all."""

    label: str | None = None
    description: str = ""
    args: tuple[str, ...] = ()
    variants: tuple[str, ...] | None = None
    hardware: Mapping[str, str] = field(default_factory=dict)
    hardware_overrides: Mapping[str, FeatureOverride] = field(default_factory=dict)


@frozen_dataclass
class Feature:
    """A capability of the model that engine arguments enable, such as tool calling.

    `strategies` are those it works with; None means all. `hardware` says where it was verified or fails.
    """

    label: str | None = None
    description: str = ""
    args: tuple[str, ...] = ()
    strategies: tuple[str, ...] | None = None
    hardware: Mapping[str, str] = field(default_factory=dict)
    default_mode: str | None = None
    modes: Mapping[str, Mode] = field(default_factory=dict)
    hardware_overrides: Mapping[str, FeatureOverride] = field(default_factory=dict)


@frozen_dataclass
class RecipeVariant:
    """One set of weights. `vram_minimum_gb` is the least memory of all its GPUs together.

    `tp` is a number, or a mapping from hardware to number.
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


@frozen_dataclass
class StrategyOverride:
    """Arguments added by one parallelism strategy. `tp` is a number, or a mapping from hardware to number."""

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


@frozen_dataclass
class Dependency:
    """A package to be installed in addition to the engine."""

    command: str
    note: str = ""
    brand: str | None = None
    optional: Any = False
    install_modes: Any = None


@frozen_dataclass
class RecipeModel:
    """The served model and the options common to every profile. `context_length` 0 means unknown."""

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


@frozen_dataclass
class Meta:
    """Information for human readers. `hardware` says where the recipe was verified or is known to fail."""

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


@frozen_dataclass
class Recipe:
    """A whole recipe file. Features are enabled unless they are listed as opt-in."""

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
    """Return the `Recipe` in a YAML file. ManifestError names what cannot be read and its line."""
    return read_recipe(_text(path), name=str(path))


def read_recipe(text: str, *, name: str = "<recipe>") -> Recipe:
    """Return the `Recipe` in `text`. ManifestError refers to it as `name`."""
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
    """Replace, in place, the overrides for hardware that this engine does not support by {}.

    Their fields may differ from those of `Override`.
    """
    pairs = node.value if isinstance(node, MappingNode) else []
    for _, value in pairs:
        _empty_foreign_overrides(value)
    for key, value in pairs:
        if key.value == "hardware_overrides" and isinstance(value, MappingNode):
            value.value = [(name, part if _is_ours(name) else _empty(part)) for name, part in value.value]


def _is_ours(name: Node) -> bool:
    """Return whether a hardware key names an NVIDIA GPU or a supported CPU."""
    return name.value in (EVERY_GPU, *CPU_KEYS) or find_target(str(name.value)) is not None


def _empty(node: Node) -> MappingNode:
    """Return an empty mapping node at the place of a node."""
    return MappingNode("tag:yaml.org,2002:map", [], node.start_mark, node.end_mark)


def _numbers(recipe: Recipe) -> Iterator[tuple[str, object]]:
    """Yield (key, value) of each field typed `Any` that must be a number, where it is set."""
    if recipe.model.context_length is not None:
        yield "model.context_length", recipe.model.context_length
    sizes = {f"strategy_overrides.{name}.tp": one.tp for name, one in recipe.strategy_overrides.items()}
    sizes |= {f"variants.{name}.tp": one.tp for name, one in recipe.variants.items()}
    for place, said in sizes.items():
        for key, number in said.items() if isinstance(said, Mapping) else [("", said)]:
            if number is not None:
                yield f"{place}{'.' if key else ''}{key}", number


def _text(path: Path) -> str:
    """Return a recipe file's text; ManifestError if it is too large or unreadable."""
    try:
        return read_text(path, MAX_BYTES)
    except OSError as error:
        raise ManifestError(f"cannot read the recipe '{path}': {error.strerror}") from None
    except UnicodeDecodeError:
        raise ManifestError(f"cannot read the recipe '{path}': it is not UTF-8 text") from None
