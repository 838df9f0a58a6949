"""Bytes of cache for one sequence on one rank, and the longest context that fits, as the engine computes."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from nim.frozen_dataclass import frozen_dataclass
from nim.models.cache.kv_block_pool import Group, block_bytes, group_pages
from nim.models.cache.kv_page_size import CacheSettings, Page, padded_state, page_of
from nim.models.types import Cache, LayerKind, ModelReading

_BLOCK = 16
# Families whose kernels want larger blocks, or whose layout has the block outermost.
_BLOCKS = {"deepseek_v4": 256, "minimax_m3": 128, "minimax_m3_text": 128, "minimax_m3_vl_text": 128}
_BLOCK_OUTERMOST = frozenset(
    {"deepseek_v4", "deepseek_v41", "glm5_next_text", "dots3_note", "qwen4_exp_text"}
)
# Others are not known here: some keep the first and the last layers in another type.
_KNOWN_TYPES = ("auto", "bfloat16", "float", "fp8", "half", "int4", "int8", "nvfp4")
_LATENT_BLOCK, _BLACKWELL_LATENT_BLOCK, _LATENT_HYBRID_BLOCK = 64, 32, 128


@frozen_dataclass
class CachePool:
    """The pool of a model's cache on the fullest rank: what one sequence takes of it.

    `groups` have no repeats. `block_bytes` is one block's, on the fullest pipeline stage.
    """

    settings: CacheSettings
    groups: tuple[Group, ...]
    block_bytes: int

    def sequence_bytes(self, tokens: int) -> int:
        """Return the bytes that one sequence of `tokens` takes.

        The engine needs them before it starts (vllm.v1.core.kv_cache_utils), besides its one spare block.
        """
        return self.block_bytes * sum(group.blocks(self.settings, tokens) for group in self.groups)

    def longest_context(self, memory: int) -> int:
        """Return the longest context in tokens that fits in `memory` bytes; 0 if none does.

        At most `settings.context`. For `--max-model-len auto`.
        """
        shortest, longest, room = 0, self.settings.context, memory - self.block_bytes
        while shortest < longest:
            middle = (shortest + longest + 1) // 2
            if self.sequence_bytes(middle) <= room:
                shortest = middle
            else:
                longest = middle - 1
        return shortest


def find_pool(reading: ModelReading, settings: CacheSettings) -> CachePool | None:
    """Return the model's `CachePool`; None if layers or KV type are unknown or layers too few."""
    if reading.layers is None or settings.pipeline_parallel_size > max(1, len(reading.layers)):
        return None
    settled = _settled(reading, settings)
    if not settled.kv_cache_dtype.startswith(_KNOWN_TYPES):
        return None
    groups, size = _groups(reading, replace(settled, context=0, batched_tokens=0))
    return CachePool(settings=settled, groups=groups, block_bytes=size)


def default_batched_tokens(memory: int, gpu: str = "") -> int:
    """Return the engine's default `--max-num-batched-tokens` for a GPU with `memory` bytes and this name."""
    if memory >= 160 * 2**30:
        return 16384
    return 8192 if memory >= 70 * 2**30 and "a100" not in gpu.lower() else 2048


def stage_layers(layers: int, stages: int) -> tuple[range, ...]:
    """Return a tuple of each pipeline stage's layers as a range; left-over ones go before the last stage."""
    sizes = [layers // stages] * stages
    for index in range(layers % stages):
        sizes[-(index + 2)] += 1
    starts = [sum(sizes[:index]) for index in range(stages)]
    return tuple(range(start, start + size) for start, size in zip(starts, sizes, strict=True))


@lru_cache(maxsize=256)
def _groups(reading: ModelReading, settings: CacheSettings) -> tuple[tuple[Group, ...], int]:
    """Return (groups without repeats, bytes of a block), cached: they do not depend on the context."""
    layers = reading.layers or ()
    pages = list(_pages(reading, settings))
    groups = group_pages(pages, block_outermost=reading.text_model_type in _BLOCK_OUTERMOST)
    stages = stage_layers(len(layers), settings.pipeline_parallel_size)
    size = max(block_bytes(groups, stage) for stage in stages)
    return tuple(group.without_repeats() for group in groups), size


def _settled(reading: ModelReading, settings: CacheSettings) -> CacheSettings:
    """Return the settings with `auto` replaced by what checkpoint and model family determine."""
    dtype = settings.kv_cache_dtype
    if dtype == "auto":
        dtype = (reading.quantization and reading.quantization.kv_cache_dtype) or "auto"
    if dtype == "auto" and reading.architecture == "GlmMoeDsaForCausalLM" and settings.capability[0] == 10:
        dtype = "fp8_e4m3"
    stateful = any(layer.kind in (LayerKind.STATE, LayerKind.HYBRID) for layer in reading.layers or ())
    attends = any(layer.kind not in (LayerKind.STATE, LayerKind.NONE) for layer in reading.layers or ())
    return replace(
        settings,
        kv_cache_dtype=dtype,
        prefix_caching=settings.prefix_caching and (attends or not stateful),
    )


def _pages(reading: ModelReading, settings: CacheSettings) -> Iterator[Page]:
    """Yield one `Page` for each cache of each layer, with states padded to attention's pages."""
    caches = [(index, cache) for index, layer in enumerate(reading.layers or ()) for cache in layer.caches]
    sparse = any(cache.dtype == "uint8" for _, cache in caches)
    latent = any(cache.latent for _, cache in caches)
    block = settings.block_size or _block(reading, settings, sparse=sparse, latent=latent)
    states = [page_of(c, settings, block=block, sparse=sparse, layer=i) for i, c in caches if c.tensors]
    token = _token_bytes([cache for _, cache in caches], settings, sparse=sparse)
    if states and token:
        block = _hybrid_block(reading, block, max(page.bytes for page in states), token)
    for index, cache in caches:
        page = page_of(cache, settings, block=block, sparse=sparse, layer=index)
        yield padded_state(page, block * token) if cache.tensors and token else page


def _block(reading: ModelReading, settings: CacheSettings, *, sparse: bool, latent: bool) -> int:
    """Return the tokens per block: the family's own size, else the kernels' smallest, at least 16."""
    if own := _BLOCKS.get(reading.text_model_type or ""):
        return own
    if sparse or (latent and settings.capability[0] == 9 and settings.kv_cache_dtype.startswith("fp8")):
        return _LATENT_BLOCK
    return _BLACKWELL_LATENT_BLOCK if latent and settings.capability[0] == 10 else _BLOCK


def _hybrid_block(reading: ModelReading, block: int, state: int, token: int) -> int:
    """Return the tokens per attention block of a hybrid model: enough for its page to hold a state."""
    latent = any(cache.latent for layer in reading.layers or () for cache in layer.caches)
    step = max(block, _LATENT_HYBRID_BLOCK) if latent else block
    return max(block, step * -(-state // (step * token)))


def _token_bytes(caches: list[Cache], settings: CacheSettings, *, sparse: bool) -> int:
    """Return the bytes of one token in one attention layer on one rank; 0 if no layer has plain attention."""
    plain = next((c for c in caches if c.kind in (LayerKind.FULL, LayerKind.MLA) and c.dtype is None), None)
    if plain is None:
        return 0
    return page_of(plain, settings, block=1, sparse=sparse, layer=0).bytes
