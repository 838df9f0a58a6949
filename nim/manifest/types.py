"""What a manifest says about one model and the ways to run it, as frozen values.

The classes down to `Document` are the file as it is written: their field names are its keys, and the JSON
schema is made from them. `Profile` and `Manifest` are what it means: all parts joined.
Sizes in GB are 10^9 bytes. Unknown is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GB = 1000**3
BILLION = 1000**3


def about(text: str, *, pattern: str | None = None) -> dict[str, Any]:
    """A field's sentence for the schema, and the pattern that its text, or its keys, must match."""
    return {"about": text, "pattern": pattern}


@dataclass(frozen=True, slots=True, kw_only=True)
class License:
    """The model's licence: `file` is a path beside the manifest."""

    name: str = field(metadata=about("the licence's name or SPDX identifier"))
    url: str | None = field(default=None, metadata=about("where its text is published"))
    file: str | None = field(default=None, metadata=about("its text, relative to the manifest"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """How many parameters the model has, in billions."""

    total_billions: float = field(metadata=about("all parameters: they decide the memory"))
    active_billions: float | None = field(default=None, metadata=about("those used for one token"))


@dataclass(frozen=True, slots=True, kw_only=True)
class KvCache:
    """What one token of context costs. Only layers that keep keys and values of the whole context count."""

    layers: int = field(metadata=about("layers with full attention"))
    heads: int = field(metadata=about("key-value heads of a layer"))
    head_dim: int = field(metadata=about("size of one head"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is served. `source` is a URI such as hf://org/name, or a directory relative to the manifest."""

    name: str = field(metadata=about("the name in the API, and what NIM_MODEL_NAME finds"))
    source: str = field(metadata=about("hf://org/name, another URI, or a directory beside the manifest"))
    description: str | None = field(default=None, metadata=about("one sentence"))
    license: License | None = None
    parameters: Parameters | None = None
    max_model_len: int | None = field(default=None, metadata=about("the native context, in tokens"))
    kv_cache: KvCache | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The engine's options without their dashes, and environment variables that it needs."""

    args: Mapping[str, Any] = field(
        default_factory=dict,
        metadata=about(
            "engine options without dashes in front: true sets a flag, false its --no- form",
            pattern=r"[a-z][a-z0-9]*(-[a-z0-9]+)*",
        ),
    )
    env: Mapping[str, str] = field(
        default_factory=dict,
        metadata=about("environment variables of the engine", pattern=r"[A-Z_][A-Z0-9_]*"),
    )

    def under(self, other: "Engine") -> "Engine":
        """Both, where `other` wins; objects are merged key by key."""
        return Engine(args=merged(self.args, other.args), env={**self.env, **other.env})


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One set of weights: a profile uses the one that its `checkpoint` names, else that of its precision."""

    source: str | None = field(default=None, metadata=about("where the weights lie, if not at model.source"))
    download_gb: float | None = field(default=None, metadata=about("size of the download"))
    weights_gb: float | None = field(
        default=None,
        metadata=about("size of the weights in memory; else parameters times bytes of the precision"),
    )
    engine: Engine = Engine()


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Options that a user adds to a profile by name. No variant is ever chosen without being asked for."""

    summary: str = field(metadata=about("what it is for, in one sentence"))
    engine: Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file, or a whole repository."""

    uri: str = field(metadata=about("where it is downloaded from"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What a profile downloads. Left out: one entry, `checkpoint`, the whole repository of its source."""

    files: Mapping[str, File] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a profile takes. Left out: the checkpoint's, or computed from the parameters."""

    weights_gb: float | None = field(default=None, metadata=about("size of the weights in memory"))
    download_gb: float | None = field(default=None, metadata=about("size of the download"))
    memory_gb: float | None = field(
        default=None,
        metadata=about("the least memory to start with, per GPU, or of the host for a CPU profile"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One profile as the file has it."""

    id: str = field(
        metadata=about("64 hex digits: the hash of the profile's content", pattern="[0-9a-f]{64}")
    )
    tags: Mapping[str, str] = field(metadata=about("what the profile is for; every value is a string"))
    checkpoint: str | None = field(
        default=None, metadata=about("which of `checkpoints`, if not the precision's")
    )
    workspace: Workspace | None = None
    engine: Engine = Engine()
    resources: Resources = Resources()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A manifest of schema version 2."""

    schema_version: str = field(metadata=about("2.0.0", pattern=r"2(\.[0-9]+)*"))
    profile_selection_criteria: str = field(default="default", metadata=about("how to choose: `default`"))
    model: Model | None = None
    engine: Engine = field(default=Engine(), metadata=about("for every profile"))
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    variants: Mapping[str, Variant] = field(
        default_factory=dict,
        metadata=about(
            "what a user may add by name: NIM_MODEL_PROFILE=<label>+<variant>",
            pattern=r"[a-z0-9]+(-[a-z0-9]+)*",
        ),
    )
    profiles: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One way to run a model: what it asks of the machine, and everything that the engine needs for it.

    `engine` has the manifest's, the checkpoint's and the profile's own options joined. `line` is in the file.
    `memory_gb` is only what the file states; the estimate is made in `nim.selection.memory`.
    """

    id: str
    tags: Mapping[str, str]
    engine: Engine = Engine()
    source: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    download_gb: float | None = None
    weights_gb: float | None = None
    memory_gb: float | None = None
    line: int | None = field(default=None, compare=False)

    @property
    def engine_name(self) -> str | None:
        """`vllm`, …: three tags have named it over the years."""
        name = self.tags.get("llm_engine") or self.tags.get("model_type") or self.tags.get("backend")
        return "tensorrt" if name == "triton" else name

    @property
    def precision(self) -> str | None:
        return self.tags.get("precision")

    @property
    def gpu(self) -> str | None:
        """The GPU that the profile is made for, `cpu` for none, None for any."""
        return self.tags.get("gpu")

    @property
    def on_cpu(self) -> bool:
        return (self.gpu or "").lower() == "cpu"

    @property
    def names_gpu(self) -> bool:
        """Whether it is made for one kind of GPU."""
        return not self.on_cpu and any(
            self.tags.get(tag) for tag in ("gpu", "gpu_device", "product_name_regex")
        )

    @property
    def tensor_parallel_size(self) -> int:
        return int(self.tags.get("tp", "1"))

    @property
    def pipeline_parallel_size(self) -> int:
        return int(self.tags.get("pp", "1"))

    @property
    def gpu_count(self) -> int:
        """How many GPUs it takes, over all nodes."""
        return 0 if self.on_cpu else self.tensor_parallel_size * self.pipeline_parallel_size

    @property
    def lora(self) -> bool:
        return self.tags.get("feat_lora", "false").lower() == "true"

    @property
    def goal(self) -> str | None:
        """`latency` or `throughput`, where the profile is tuned for one."""
        return self.tags.get("profile")

    @property
    def label(self) -> str:
        """`vllm-[gpu-]precision-tpN-ppM[-latency|-throughput][-feat_lora][+variant…]`."""
        parts = [self.engine_name or "unknown", *self._gpu_part(), self.precision or "unknown"]
        parts += [f"tp{self.tensor_parallel_size}", f"pp{self.pipeline_parallel_size}"]
        parts += [self.goal] if self.goal else []
        parts += ["feat_lora"] if self.lora else []
        return "+".join(["-".join(parts), *self.variants])

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that were added to it, in order."""
        names = self.tags.get("variant", "")
        return tuple(names.split("+")) if names else ()

    def _gpu_part(self) -> list[str]:
        if self.gpu is None or self.on_cpu:
            return ["cpu"] if self.on_cpu else []
        name = self.gpu.lower().replace(" ", "-").replace("_", "-").removeprefix("nvidia-")
        return [f"nvidia-{name}"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All profiles of one model. `path` is the file it was read from; None where there was none.

    `is_generic`: it was made for a model that has none, and its profiles differ in their sizes alone.
    """

    profiles: tuple[Profile, ...]
    model: Model | None = None
    variants: Mapping[str, Variant] = field(default_factory=dict)
    schema_version: str = "2.0.0"
    criteria: str = "default"
    path: str | None = None
    is_generic: bool = False

    @property
    def name(self) -> str | None:
        return self.model.name if self.model else None


def merged(weaker: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings, where `stronger` wins; mappings inside are merged in turn."""
    both = dict(weaker)
    for key, value in stronger.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both
