"""Names that the pinned engine can load: architectures, quantization methods, parsers, cache types.

The catalog is data generated from the engine (`make engine-options`), and is read on first use in
milliseconds.
"""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from nim.engine.option_table import OPTIONS_DIR, known_release
from nim.frozen_dataclass import frozen_dataclass

CATALOG_HISTORY = "catalog-history.json"


class Feature(StrEnum):
    """A feature that an implementation of an architecture may support."""

    GENERATE = "generate"
    POOLING = "pooling"
    MULTIMODAL = "multimodal"
    RAW_INPUT_ONLY = "raw input only"
    ENCODER_DATA_PARALLEL = "encoder data parallel"
    PIPELINE_PARALLEL = "pipeline parallel"
    LORA = "lora"
    TRANSCRIPTION = "transcription"
    TRANSCRIPTION_ONLY = "transcription only"
    INNER_STATE = "inner state"
    ATTENTION_FREE = "attention free"
    HYBRID = "hybrid"  # attention and Mamba or linear layers
    SKIPS_LAYERS = "skips layers"  # some blocks have no attention or no MLP
    MAMBA_PREFIX_CACHING = "mamba prefix caching"
    EXPERT_BALANCING = "expert balancing"  # `--enable-eplb`


# Sections whose names are checked and for which a history is kept.
SECTIONS = (
    "architectures",
    "quantization",
    "kv_cache_dtypes",
    "tool_parsers",
    "reasoning_parsers",
    "load_formats",
    "attention_backends",
)
# Sections that are plain lists.
NAMES = (
    "tool_parsers",
    "reasoning_parsers",
    "load_formats",
    "attention_backends",
    "dtypes",
    "lora_ranks",
    "without_float16",
)


class Named(NamedTuple):
    """The catalog section that an option's value must be in, and the option that adds names to it."""

    section: str
    thing: str
    plugin: str | None = None
    only_with: str | None = None  # the engine ignores the value without this option


NAMED: Mapping[str, Named] = MappingProxyType(
    {
        "attention_backend": Named("attention_backends", "attention backend"),
        "load_format": Named("load_formats", "load format"),
        "quantization": Named("quantization", "quantization method"),
        "reasoning_parser": Named("reasoning_parsers", "reasoning parser", "reasoning_parser_plugin"),
        "tool_call_parser": Named(
            "tool_parsers", "tool call parser", "tool_parser_plugin", "enable_auto_tool_choice"
        ),
    }
)


class Way(StrEnum):
    """How the engine obtains an implementation."""

    OWN = "its own"
    CONVERTED = "its own, converted"  # `LlamaForSequenceClassification` by `LlamaForCausalLM`
    TRANSFORMERS = "Transformers'"


@frozen_dataclass
class Architecture:
    """One implementation in the engine's registry."""

    name: str
    implementation: str
    tables: tuple[str, ...]  # of the registry that list it, such as "text generation"
    features: frozenset[Feature]
    attention: str  # decoder, encoder_only, encoder_decoder …
    score: str | None  # how a pooling model scores, unless by comparing embeddings


@frozen_dataclass
class Loaded:
    """The implementation that loads a model. `architecture` is None if only the configuration decides."""

    name: str
    way: Way
    architecture: Architecture | None


@frozen_dataclass
class QuantizationMethod:
    """One value of `--quantization`. Single layers may need a newer GPU than `capability`."""

    name: str
    implementation: str
    capability: tuple[int, int]  # the minimum; below it the engine refuses the method
    dtypes: tuple[str, ...]  # of activations
    config_files: tuple[str, ...]
    online: bool  # quantizes unquantized weights as it loads them
    deprecated: bool  # refused without --allow-deprecated-quantization
    needs_config: bool  # refused for weights whose files do not say how they are quantized


@frozen_dataclass
class AttentionBackend:
    """One value of `--attention-backend` that NVIDIA GPUs may have."""

    name: str
    kind: str  # of attention: "attention", "mla" or "sparse mla"
    capabilities: tuple[tuple[int, int], ...]  # of the catalog's GPUs, those that it accepts
    cache_dtypes: tuple[str, ...]  # values of `--kv-cache-dtype` that it accepts on any of them


@frozen_dataclass
class Checkpoint:
    """How a quantized checkpoint is loaded."""

    name: str
    method: str  # if `--quantization` is not given
    asked: Mapping[str, str]  # accepted values of `--quantization` → the resulting method


@frozen_dataclass
class Elsewhere:
    """Other releases that have a name which this one lacks."""

    last: str | None = None  # the newest release before this one
    first: str | None = None  # the oldest release after this one

    def __str__(self) -> str:
        """Return the end of a sentence about this release, such as "no longer has it (last in 0.9)"."""
        parts = [f"no longer has it (last in {self.last})"] if self.last else []
        parts += [f"does not have it yet ({self.first} does)"] if self.first else []
        return ", ".join(parts)


@frozen_dataclass
class Catalog:
    """The names that one release of the engine knows. Rows are parsed on demand."""

    version: str
    rows: Mapping[str, Any]
    history: Mapping[str, Any]

    def names(self, section: str) -> tuple[str, ...]:
        """Return all names of a section as a tuple; KeyError for an unknown section."""
        return tuple(self.rows[section])

    def architecture(self, name: str) -> Architecture | None:
        """Return the Architecture registered under exactly this name; None if there is none."""
        row = self.rows["architectures"].get(name)
        if row is None:
            return None
        return Architecture(
            name=name,
            implementation=row["class"],
            tables=tuple(row["tables"]),
            features=frozenset(Feature(feature) for feature in row["features"]),
            attention=row.get("attention", "decoder"),
            score=row.get("score"),
        )

    def quantization(self, name: str) -> QuantizationMethod | None:
        """Return the QuantizationMethod of this name; None if vLLM has none."""
        row = self.rows["quantization"].get(name)
        if row is None:
            return None
        return QuantizationMethod(
            name=name,
            implementation=row["class"],
            capability=divmod(row.get("capability", 0), 10),
            dtypes=tuple(row.get("dtypes", ())),
            config_files=tuple(row.get("files", ())),
            online=row.get("online", False),
            deprecated=row.get("deprecated", False),
            needs_config=row.get("needs_config", False),
        )

    def attention_backend(self, name: str) -> AttentionBackend | None:
        """Return the AttentionBackend of this name; None if its GPUs are not known."""
        if (row := self.rows["backend_support"].get(name)) is None:
            return None
        listed = (text.split(".") for text in row["capabilities"])
        gpus, dtypes = tuple((int(a), int(b)) for a, b in listed), tuple(row["cache_dtypes"])
        return AttentionBackend(name=name, kind=row["kind"], capabilities=gpus, cache_dtypes=dtypes)

    def checkpoint(self, quant_method: str, detail: str | None = None) -> Checkpoint | None:
        """Return the Checkpoint (how a `quant_method` is loaded); None if vLLM refuses it.

        `detail` is ModelOpt's `quant_algo` or the model's type, which some methods depend on.
        """
        name = quant_method.lower().replace("compressed_tensors", "compressed-tensors")
        rows = self.rows["checkpoints"]
        exact = f"{name} {detail}" if detail else name
        row = rows.get(exact) or rows.get(f"{name} {(detail or '').upper()}") or rows.get(name)
        if row is None:
            return None
        refused = row.get("refused", ())
        taken = row["asked"] or [value for value in self.rows["quantization"] if value not in refused]
        asked = {value: row.get("otherwise", {}).get(value, row["method"]) for value in taken}
        return Checkpoint(name=name, method=row["method"], asked=MappingProxyType(asked))

    def elsewhere(self, section: str, name: str) -> Elsewhere | None:
        """Return the other releases with this name as an Elsewhere; None if none is known."""
        row = self.history[section].get(name)
        last = self.rows["removed_architectures"].get(name) if section == "architectures" else None
        if row is None and last is None:
            return None
        row = row or {}
        return Elsewhere(last=last or row.get("last"), first=row.get("first"))

    def resolve(self, architectures: Sequence[str], model_impl: str = "auto") -> Loaded | None:
        """Return the implementation vLLM loads for these architectures (Loaded); None if it has none.

        None if the engine has no implementation; the model's own code may still be loaded through
        Transformers.
        """
        if model_impl == "terratorch":
            return self._own("Terratorch", "Terratorch")
        transformers = self._by_transformers(architectures[:1]) if model_impl != "vllm" else None
        if model_impl == "transformers":
            return transformers
        own = next((found for name in architectures if (found := self._own_or_converted(name))), None)
        if transformers and not self._is_named(architectures) and not self._is_pooling(architectures[0]):
            return transformers
        return own or (None if self._is_named(architectures) else transformers)

    def _own(self, name: str, base: str) -> Loaded | None:
        """Return vLLM's own implementation `base` as Loaded, for the name `name`; None if it has none."""
        found = self.architecture(base)
        way = Way.OWN if name == base else Way.CONVERTED
        return Loaded(name=base, way=way, architecture=found) if found else None

    def _own_or_converted(self, name: str) -> Loaded | None:
        """Return vLLM's own implementation, or one converted from another suffix, or None."""
        if name in self.rows["architectures"]:
            return self._own(name, name)
        suffixes = self.rows["convertible_suffixes"]
        suffix = next((row[0] for row in suffixes if name.endswith(row[0])), None)
        bases = [name.replace(suffix, row[0]) for row in suffixes] if suffix else []
        return next((found for base in bases if (found := self._own(name, base))), None)

    def _by_transformers(self, names: Sequence[str]) -> Loaded | None:
        """Return the Transformers backend as Loaded if it accepts one of `names`; else None."""
        for name in names:
            found = self.architecture(name)
            if found and "transformers backend" in found.tables:
                return Loaded(name=name, way=Way.TRANSFORMERS, architecture=found)
            if name in self.rows["transformers_architectures"] or found:
                return Loaded(name=name, way=Way.TRANSFORMERS, architecture=None)
        return None

    def _is_named(self, names: Sequence[str]) -> bool:
        """Return True if vLLM's registry has one of these names."""
        return any(name in self.rows["architectures"] for name in names)

    def _is_pooling(self, name: str) -> bool:
        """Return True if the name ends in a suffix of pooling models."""
        return any(name.endswith(row[0]) and row[2] != "none" for row in self.rows["convertible_suffixes"])


@cache
def load_catalog(version: str | None = None) -> Catalog:
    """Return the Catalog of a vLLM release (default: the newest), from JSON files; SettingsError if none."""
    wanted = known_release(version)
    rows = json.loads((OPTIONS_DIR / f"catalog-{wanted}.json").read_bytes())
    history = json.loads((OPTIONS_DIR / CATALOG_HISTORY).read_bytes())
    return Catalog(version=rows["version"], rows=rows, history=history)
