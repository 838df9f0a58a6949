"""Size of one layer's cache page per block on one rank, and the blocks that a sequence needs."""

from dataclasses import field, replace

from nim.frozen_dataclass import frozen_dataclass
from nim.models.types import Cache, LayerKind, StateTensor

_BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2, "auto": 2}
# Layouts of sparse latent attention: 512 channels in 8 bits with their scales, 64 in 16; in 4 bits.
_PACKED_LATENT = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}
# What the kernels of a generation of GPUs keep in the layout of 8 bits.
_PACKED_BY_GENERATION = {9: ("fp8",), 12: ("auto", "fp8", "fp8_e4m3")}
# The same for DeepSeek V4, whose pages are a multiple of these bytes.
_V4_ENTRY, _V4_ALIGNMENT = 584, 576


@frozen_dataclass
class CacheSettings:
    """Options and GPU properties that determine the size of a cache. The defaults are those on an H100."""

    context: int
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    kv_cache_dtype: str = "auto"
    dtype: str = "bfloat16"
    batched_tokens: int = 8192  # --max-num-batched-tokens
    block_size: int | None = None
    state_dtype: str = "auto"  # --mamba-cache-dtype
    recurrent_dtype: str = "auto"  # --mamba-ssm-cache-dtype
    prefix_caching: bool = True
    capability: tuple[int, int] = (9, 0)
    speculative_tokens: int = 0

    @property
    def tokens_in_flight(self) -> int:
        """Return the tokens scheduled at once: a batch for each pipeline stage, and one batch more."""
        return (self.pipeline_parallel_size + 1) * self.batched_tokens


@frozen_dataclass
class Page:
    """One layer's cache as the engine's block pool sees it."""

    kind: LayerKind
    block: int  # tokens
    entry: int  # bytes of an entry of all heads of the rank; of the whole state
    compression: int = 1
    latent: bool = False
    role: str = ""
    window: int | None = None
    alignment: int = 1
    padded: int | None = None
    ring: bool = False
    checkpoints: int = 0
    layers: frozenset[int] = field(default=frozenset(), compare=False)

    @property
    def bytes(self) -> int:
        """Return the bytes of one block of this layer's cache, padding included."""
        if self.padded is not None:
            return self.padded
        if self.kind == LayerKind.STATE:
            return self.entry
        plain = self.entry * max(1, self.block // self.compression)
        return -(-plain // self.alignment) * self.alignment

    @property
    def is_full(self) -> bool:
        """Return whether the number of blocks grows with the context without limit."""
        return self.kind in (LayerKind.FULL, LayerKind.MLA, LayerKind.COMPRESSED) and not self.ring

    def blocks(self, settings: CacheSettings, tokens: int) -> int:
        """Return the most blocks that one sequence of `tokens` holds at once."""
        if self.ring:
            return 1
        if self.kind == LayerKind.STATE:
            return (2 + self.checkpoints if settings.prefix_caching else 1) + settings.speculative_tokens
        if self.kind == LayerKind.CROSS:
            return -(-settings.batched_tokens // self.block)
        if self.kind == LayerKind.CHUNKED:
            tokens = min((self.window or 0) + settings.tokens_in_flight, tokens)
        if self.kind == LayerKind.SLIDING:
            tokens = min((self.window or 1) - 1 + settings.tokens_in_flight, tokens)
            return -(-tokens // self.block) + 1
        return -(-tokens // self.block)


def page_of(cache: Cache, settings: CacheSettings, *, block: int, sparse: bool, layer: int) -> Page:
    """Return the engine's `Page` for one cache of layer `layer`, on one tensor-parallel rank."""
    if cache.kind == LayerKind.STATE:
        entry = sum(_state_bytes(tensor, settings) for tensor in cache.tensors)
        kept = cache.checkpoints
        return Page(kind=cache.kind, block=block, entry=entry, checkpoints=kept, layers=frozenset((layer,)))
    packed = _packed_entry(cache, settings, sparse=sparse)
    heads = 1 if cache.latent else max(1, cache.kv_heads // settings.tensor_parallel_size)
    if cache.latent and cache.ring:
        heads = cache.kv_heads
    return Page(
        kind=cache.kind,
        block=cache.block or block,
        entry=packed if packed is not None else heads * _entry_bytes(cache, settings),
        compression=cache.compression,
        latent=cache.latent,
        role="index" if cache.dtype is not None else "",
        window=cache.window,
        alignment=_V4_ALIGNMENT if cache.aligned else 1,
        ring=cache.ring,
        layers=frozenset((layer,)),
    )


def dtype_bytes(name: str, default: str) -> int:
    """Return the bytes of an element of type `name`; "auto" is `default`, unknown names count 1."""
    return _BYTES.get(default if name == "auto" else name, 1)


def padded_state(page: Page, size: int) -> Page:
    """Return the state's page padded to `size` bytes; unchanged if it has that size."""
    return page if page.bytes == size else replace(page, padded=size)


def _state_bytes(tensor: StateTensor, settings: CacheSettings) -> int:
    """Return the bytes of a state tensor on one tensor-parallel rank."""
    ranks = settings.tensor_parallel_size
    groups = tensor.groups if tensor.groups % ranks == 0 else ranks
    elements = (tensor.elements + tensor.group_elements * groups) // ranks
    return elements * dtype_bytes(_state_dtype(tensor, settings), settings.dtype)


def _state_dtype(tensor: StateTensor, settings: CacheSettings) -> str:
    """Return the data type's name of a state tensor; "auto" for the model's own."""
    if not tensor.recurrent:
        return settings.state_dtype
    if settings.recurrent_dtype != "auto":
        return settings.recurrent_dtype
    return tensor.dtype or settings.state_dtype


def _packed_entry(cache: Cache, settings: CacheSettings, *, sparse: bool) -> int | None:
    """Return the bytes of an entry in a packed latent layout; None for layouts that are not packed."""
    if not cache.latent or cache.dtype is not None:
        return None
    if cache.aligned:
        return _V4_ENTRY
    dtype = settings.kv_cache_dtype
    if sparse and dtype in _PACKED_BY_GENERATION.get(settings.capability[0], ()):
        dtype = "fp8_ds_mla"
    return _PACKED_LATENT.get(dtype)


def _entry_bytes(cache: Cache, settings: CacheSettings) -> int:
    """Return the bytes of one token's keys and values in one head, quantization scales included."""
    name = cache.dtype or settings.kv_cache_dtype
    sizes = (cache.key_size, cache.value_size)
    if name.startswith("nvfp4") and cache.dtype is None:
        return sum(size // 2 + size // 16 for size in sizes)
    if name == "int4_per_token_head":
        return sum(size // 2 for size in sizes) + 8
    if name.endswith("_per_token_head"):
        return sum(sizes) + 8
    return sum(sizes) * dtype_bytes(name, settings.dtype)
