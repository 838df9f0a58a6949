"""What a reading of a model says. Sizes are of the whole model unless a name says so; None is unknown."""

from dataclasses import dataclass, field
from enum import StrEnum


class LayerKind(StrEnum):
    """What a layer keeps of the tokens it has seen."""

    FULL = "full"  # keys and values of every token
    SLIDING = "sliding window"  # keys and values of the last `window` tokens
    CHUNKED = "chunked"  # keys and values of the current chunk
    MLA = "mla"  # one latent vector a token, the same on every rank
    COMPRESSED = "compressed"  # a latent vector for several tokens together
    STATE = "state"  # Mamba, linear attention, short convolution: a state of fixed size
    CROSS = "cross"  # keys and values of the encoder's output
    ENCODER = "encoder"  # attends, but keeps nothing
    NONE = "none"  # no attention, or another layer's keys and values


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTensor:
    """One tensor of a sequence's state: its elements on one rank are `elements` divided by the ranks.

    `replicated` elements are held by every rank in full. `kind` names the setting that its data type follows:
    "conv" for `--mamba-cache-dtype`, "ssm" for `--mamba-ssm-cache-dtype`, or a data type by name.
    """

    elements: int
    kind: str
    replicated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """One cache that a layer keeps. Most layers have one, those with an indexer or a compressor more."""

    kind: LayerKind
    kv_heads: int = 0  # of the whole model; ranks share them, or repeat them where there are more ranks
    key_size: int = 0  # elements a head and token
    value_size: int = 0  # 0 for MLA, whose one vector serves as both
    window: int | None = None  # tokens that a sliding window or a chunk reaches
    compression: int = 1  # tokens that share one entry
    entry_bytes: int | None = None  # bytes of an entry where the layout is fixed, whatever the KV data type
    tensors: tuple[StateTensor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGroup:
    """Layers that keep the same. `indices` are their places in the stack, for pipeline stages."""

    kind: LayerKind
    caches: tuple[Cache, ...] = ()
    indices: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of these layers."""
        return len(self.indices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The longest sequence that the engine takes when nobody says otherwise, and the most it can be told."""

    tokens: int
    why: str  # the field or rule it follows from
    limit: int  # a longer `--max-model-len` is refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """How the weights are stored. `method` is the engine's name for it, `precision` the project's word."""

    method: str
    precision: str | None = None
    bits: int | None = None
    group_size: int | None = None  # elements of an input row that share a scale
    block: tuple[int, int] | None = None  # rows and columns of a tile that share a scale
    ignored: tuple[str, ...] = ()  # modules that are left in the model's own data type
    kv_cache_dtype: str | None = None  # what the checkpoint asks for, by the engine's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The routed experts of a mixture."""

    count: int
    per_token: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReading:
    """A model as its files describe it and the engine will see it."""

    architecture: str | None = None  # the first that the configuration names
    architectures: tuple[str, ...] = ()
    model_type: str | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_size: int | None = None
    hidden_size: int | None = None
    vocab_size: int | None = None
    layers: tuple[LayerGroup, ...] | None = None
    experts: Experts | None = None
    context: Context | None = None
    quantization: Quantization | None = None  # None also where the weights are not quantized
    dtype: str | None = None  # of the configuration: bfloat16, float16, float32
    precision: str | None = None  # of the weights as they are served: nvfp4 … fp32
    modalities: tuple[str, ...] = field(default=("text",))
    generates: bool | None = None  # False: an embedding model, a classifier, a reranker

    @property
    def layer_count(self) -> int | None:
        """Return the number of layers of the language part."""
        return None if self.layers is None else sum(group.count for group in self.layers)
