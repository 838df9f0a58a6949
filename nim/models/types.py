"""Values read from a model's files, of the whole model unless stated otherwise. None is unknown."""

from collections import Counter
from enum import StrEnum

from nim.frozen_dataclass import frozen_dataclass

LARGEST = 16
"""The largest tensor-parallel size that is offered."""


class LayerKind(StrEnum):
    """What a layer keeps of earlier tokens."""

    FULL = "full"  # keys and values of every token
    SLIDING = "sliding window"  # keys and values of the last `window` tokens
    CHUNKED = "chunked"  # keys and values of the current chunk
    MLA = "mla"  # one latent vector a token, the same on every rank
    COMPRESSED = "compressed"  # one latent vector for several tokens together
    STATE = "state"  # Mamba, linear attention, short convolution: a state of fixed size
    HYBRID = "hybrid"  # a state beside keys and values of every token
    CROSS = "cross"  # keys and values of the encoder's output; of a cache only
    ENCODER = "encoder"  # attends, but keeps nothing
    NONE = "none"  # no attention, or another layer's keys and values


@frozen_dataclass
class StateTensor:
    """One tensor of a sequence's state. Ranks share its elements.

    `group_elements` are added for each of `groups`, of which there is at least one a rank.
    """

    elements: int
    groups: int = 0
    group_elements: int = 0
    recurrent: bool = False  # it follows `--mamba-ssm-cache-dtype`, not only `--mamba-cache-dtype`
    dtype: str | None = None  # where neither is set; None is the model's own


@frozen_dataclass
class Cache:
    """One cache that a layer keeps. Most layers have one, those with an indexer or a compressor more."""

    kind: LayerKind  # FULL, SLIDING, CHUNKED, MLA, COMPRESSED, STATE or CROSS
    kv_heads: int = 1  # of the whole model: ranks share them, and repeat them where there are more ranks
    key_size: int = 0  # elements of an entry and head
    value_size: int = 0  # 0 where one vector serves as key and value
    window: int | None = None  # tokens that a sliding window or a chunk reaches
    latent: bool = False  # the same on every rank
    compression: int = 1  # tokens that share one entry
    dtype: str | None = None  # of the elements where it is fixed; None follows the KV data type
    block: int | None = None  # tokens of a block where the layer has a size of its own
    aligned: bool = False  # a page is padded to the alignment of its kernels
    ring: bool = False  # one block a sequence, whatever its length
    tensors: tuple[StateTensor, ...] = ()
    checkpoints: int = 0  # states that are kept beside the current ones while a prompt is cached


@frozen_dataclass
class Layer:
    """One layer of the language part."""

    kind: LayerKind
    caches: tuple[Cache, ...] = ()


@frozen_dataclass
class Context:
    """The default context length in tokens, and the longest that the engine allows."""

    tokens: int
    why: str  # the field or rule it follows from
    limit: int | None  # a longer `--max-model-len` is refused; None where no file names a length


@frozen_dataclass
class Quantization:
    """How the weights are stored."""

    method: str | None  # as the engine names it; None: it will not know it for quantized
    precision: str | None = None  # the project's word for it
    bits: int | None = None
    group_size: int | None = None  # elements of an input row that share a scale
    block: tuple[int, int] | None = None  # rows and columns of a tile that share a scale
    ignored: tuple[str, ...] = ()  # modules that are left in the model's own data type
    kv_cache_dtype: str | None = None  # what the checkpoint asks for, as the engine names it


@frozen_dataclass
class Experts:
    """The routed experts of a mixture."""

    count: int
    per_token: int | None = None


@frozen_dataclass
class ModelReading:
    """All values that the engine derives from a model's configuration."""

    architecture: str | None = None  # the first that the configuration names
    architectures: tuple[str, ...] = ()
    model_type: str | None = None
    text_model_type: str | None = None  # of the language part
    heads: int | None = None
    kv_heads: int | None = None
    head_size: int | None = None
    hidden_size: int | None = None
    vocab_size: int | None = None
    layers: tuple[Layer, ...] | None = None
    experts: Experts | None = None
    context: Context | None = None
    quantization: Quantization | None = None  # None also where the weights are not quantized
    dtype: str | None = None  # of the configuration: bfloat16, float16, float32
    precision: str | None = None  # of the weights as they are served: nvfp4 … fp32
    modalities: tuple[str, ...] = ("text",)
    generates: bool | None = None  # False: an embedding model, a classifier, a reranker

    @property
    def layer_kinds(self) -> dict[str, int] | None:
        """Return kind → number of layers (a hybrid counts as state and as full); None if unknown."""
        if self.layers is None:
            return None
        kinds = (_HYBRID if layer.kind == LayerKind.HYBRID else (layer.kind,) for layer in self.layers)
        return dict(Counter(str(kind) for pair in kinds for kind in pair))


_HYBRID = (LayerKind.STATE, LayerKind.FULL)
