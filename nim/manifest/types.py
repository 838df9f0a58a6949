"""The frozen classes of a manifest: one model and the profiles to run it with.

The classes down to `Document` mirror the file: their field names are its keys, and the JSON schema is
generated from them. `Profile` and `Manifest` are the result, with all parts joined.
Sizes in GB are 10^9 bytes. Unknown is None.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from nim.frozen_dataclass import frozen_dataclass

GB = 1000**3
BILLION = 1000**3


def about(text: str, *, pattern: str | None = None) -> dict[str, Any]:
    """Return a dataclass field's metadata dict: its description and its pattern, for schema and reader."""
    return {"about": text, "pattern": pattern}


@frozen_dataclass
class License:
    """The model's licence: `file` is a path beside the manifest."""

    name: str = field(metadata=about("the licence's name or SPDX identifier"))
    url: str | None = field(default=None, metadata=about("where its text is published"))
    file: str | None = field(default=None, metadata=about("its text, relative to the manifest"))


@frozen_dataclass
class Parameters:
    """How many parameters the model has, in billions."""

    total_billions: float = field(metadata=about("all parameters: they decide the memory"))
    active_billions: float | None = field(default=None, metadata=about("those used for one token"))


@frozen_dataclass
class KvCache:
    """The cost of one token of context. Only layers with keys and values of the whole context count."""

    layers: int = field(metadata=about("layers with full attention"))
    heads: int = field(metadata=about("key-value heads of a layer; 1 with latent attention"))
    head_dim: int = field(metadata=about("size of one head; half of a latent vector"))
    index_dim: int | None = field(
        default=None, metadata=about("channels of the index that sparse latent attention keeps of each token")
    )


@frozen_dataclass
class Model:
    """The served model. `source` is a URI such as hf://org/name, or a directory relative to the manifest."""

    name: str = field(metadata=about("the name in the API and for NIM_MODEL_NAME"))
    source: str = field(metadata=about("hf://org/name, another URI, or a directory beside the manifest"))
    description: str | None = field(default=None, metadata=about("one sentence"))
    license: License | None = None
    parameters: Parameters | None = None
    max_model_len: int | None = field(default=None, metadata=about("the native context, in tokens"))
    kv_cache: KvCache | None = None
    catalog: bool = field(
        default=False,
        metadata=about("whether requests are taken as the model's catalog endpoint takes them"),
    )


@frozen_dataclass
class Engine:
    """The engine's options without leading dashes, and the environment variables that it needs."""

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
        """Return a new `Engine` with the options of both; `other` wins, objects are merged key by key."""
        return Engine(args=merged(self.args, other.args), env={**self.env, **other.env})


@frozen_dataclass
class Checkpoint:
    """One set of weights. A profile uses the one named by its `checkpoint`, else that of its precision."""

    source: str | None = field(default=None, metadata=about("where the weights are, if not at model.source"))
    download_gb: float | None = field(default=None, metadata=about("size of the download"))
    weights_gb: float | None = field(
        default=None,
        metadata=about("size of the weights in memory, by default parameters times bytes of the precision"),
    )
    engine: Engine = Engine()


@frozen_dataclass
class Variant:
    """Options that a user adds to a profile by name. A variant is never chosen automatically."""

    summary: str = field(metadata=about("what it is for, in one sentence"))
    engine: Engine


@frozen_dataclass
class File:
    """One file, or a whole repository."""

    uri: str = field(metadata=about("where it is downloaded from"))


@frozen_dataclass
class Workspace:
    """What a profile downloads. Default: one entry, `checkpoint`, the whole repository of its source."""

    files: Mapping[str, File] = field(default_factory=dict)


@frozen_dataclass
class Resources:
    """What a profile needs. Default: the values of the checkpoint, or computed from the parameters."""

    weights_gb: float | None = field(default=None, metadata=about("size of the weights in memory"))
    download_gb: float | None = field(default=None, metadata=about("size of the download"))
    memory_gb: float | None = field(
        default=None,
        metadata=about("the least memory needed to start, per GPU, or of the host for a CPU profile"),
    )


@frozen_dataclass
class Entry:
    """One profile as written in the file."""

    id: str = field(
        metadata=about("64 hex digits: the hash of the profile's content", pattern="[0-9a-f]{64}")
    )
    tags: Mapping[str, str] = field(metadata=about("when the profile fits; every value is a string"))
    checkpoint: str | None = field(
        default=None, metadata=about("which of `checkpoints`, if not that of the precision")
    )
    workspace: Workspace | None = None
    engine: Engine = Engine()
    resources: Resources = Resources()


@frozen_dataclass
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


@frozen_dataclass
class Profile:
    """One way to run a model: its requirements of the machine, and everything that the engine needs.

    `engine` joins the options of manifest, checkpoint and profile. `line` is the line in the file.
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
        """Return the engine's name, such as `vllm`, by any of three tags; None if none is set."""
        name = self.tags.get("llm_engine") or self.tags.get("model_type") or self.tags.get("backend")
        return "tensorrt" if name == "triton" else name

    @property
    def precision(self) -> str | None:
        """Return the precision tag, such as `fp8`; None if it is not set."""
        return self.tags.get("precision")

    @property
    def gpu(self) -> str | None:
        """Return the tag of the GPU that the profile is made for: `cpu` for a CPU, None for any GPU."""
        return self.tags.get("gpu")

    @property
    def on_cpu(self) -> bool:
        """Return whether the profile is for a CPU (tag gpu: cpu)."""
        return (self.gpu or "").lower() == "cpu"

    @property
    def names_gpu(self) -> bool:
        """Return whether the tags restrict the profile to a kind of GPU."""
        return not self.on_cpu and any(
            self.tags.get(tag) for tag in ("gpu", "gpu_device", "product_name_regex")
        )

    @property
    def tensor_parallel_size(self) -> int:
        """Return the tensor-parallel size (tag `tp`); 1 if it is not set."""
        return int(self.tags.get("tp", "1"))

    @property
    def pipeline_parallel_size(self) -> int:
        """Return the pipeline-parallel size (tag `pp`); 1 if it is not set."""
        return int(self.tags.get("pp", "1"))

    @property
    def gpu_count(self) -> int:
        """Return the number of GPUs over all nodes, tp × pp; 0 for a CPU profile."""
        return 0 if self.on_cpu else self.tensor_parallel_size * self.pipeline_parallel_size

    @property
    def lora(self) -> bool:
        """Return whether the profile enables LoRA (tag feat_lora: true)."""
        return self.tags.get("feat_lora", "false").lower() == "true"

    @property
    def goal(self) -> str | None:
        """Return the tag `profile`, such as `latency` or `throughput`; None if it is not set."""
        return self.tags.get("profile")

    @property
    def label(self) -> str:
        """Return the label `vllm-[gpu-]precision-tpN-ppM[-latency|-throughput][-feat_lora][+variant…]`."""
        parts = [self.engine_name or "unknown", *self._gpu_part(), self.precision or "unknown"]
        parts += [f"tp{self.tensor_parallel_size}", f"pp{self.pipeline_parallel_size}"]
        parts += [self.goal] if self.goal else []
        parts += ["feat_lora"] if self.lora else []
        return "+".join(["-".join(parts), *self.variants])

    @property
    def variants(self) -> tuple[str, ...]:
        """Return the names of the variants added to the profile, in order; () if none."""
        names = self.tags.get("variant", "")
        return tuple(names.split("+")) if names else ()

    def _gpu_part(self) -> list[str]:
        """Return the label's part for the GPU as a list of at most one text; [] for any GPU."""
        if self.gpu is None or self.on_cpu:
            return ["cpu"] if self.on_cpu else []
        name = self.gpu.lower().replace(" ", "-").replace("_", "-").removeprefix("nvidia-")
        return [f"nvidia-{name}"]


@frozen_dataclass
class Manifest:
    """All profiles of one model. `path` is the file it was read from; None if it was not read from one.

    If `is_generic`, it was generated for a model without a manifest; its profiles differ only in size.
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
        """Return the model's name; None if the manifest names no model."""
        return self.model.name if self.model else None


def merged(weaker: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new dict of both mappings, where `stronger` wins; nested mappings are merged recursively."""
    both = dict(weaker)
    for key, value in stronger.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both
