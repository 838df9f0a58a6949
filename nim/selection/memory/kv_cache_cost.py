"""Bytes of KV cache that a context takes on one rank, and the longest context for a number of bytes."""

from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.types import GIB, Gpu
from nim.manifest.types import KvCache
from nim.models.cache import CachePool, CacheSettings, default_batched_tokens, find_pool
from nim.models.layers.latent_attention_caches import index_cache
from nim.models.types import Cache, Layer, LayerKind, ModelReading
from nim.selection.effective_options import EngineOptions
from nim.selection.parallel_sizes import Parallel

LENGTH_STEP = 128
_H100_BYTES = 80 * GIB


@frozen_dataclass
class CacheCost:
    """The cost of one sequence on one rank, by the engine's own arithmetic.

    `shared` ranks keep a part of the context each. `pool.settings.context` is the longest that is looked for.
    """

    pool: CachePool
    shared: int = 1

    def bytes_for(self, tokens: int) -> int:
        """Return the bytes of KV cache for `tokens`, with the engine's spare block."""
        return self.sequence_bytes(tokens) + self.pool.block_bytes

    def sequence_bytes(self, tokens: int) -> int:
        """Return the bytes of KV cache for one sequence of `tokens`."""
        return self.pool.sequence_bytes(-(-tokens // self.shared))

    def longest(self, available: int) -> int | None:
        """Return the longest context in tokens that fits `available` bytes; None if none fits."""
        length = self.pool.longest_context(available)
        if not length or length == self.pool.settings.context:
            return length * self.shared or None
        return length * self.shared // LENGTH_STEP * LENGTH_STEP or None


def read_cost(
    reading: ModelReading,
    options: EngineOptions,
    parallel: Parallel,
    *,
    dtype: str,
    longest: int,
    gpu: Gpu | None,
) -> CacheCost | None:
    """Return the CacheCost of a model's context on one rank; None if `reading` does not determine it.

    `dtype` is what the model is served in. `gpu` is the smallest: the engine's defaults depend on it. Where
    there is none, or its memory is not known, they are those on an H100.
    """
    memory = (gpu and gpu.memory_total_bytes) or _H100_BYTES
    settings = CacheSettings(
        context=-(-longest // parallel.decode_context),
        tensor_parallel_size=parallel.tensor,
        pipeline_parallel_size=parallel.pipeline,
        kv_cache_dtype=options.text("kv_cache_dtype") or "auto",
        dtype=dtype,
        batched_tokens=options.integer("max_num_batched_tokens")
        or default_batched_tokens(memory, (gpu and gpu.name) or ""),
        block_size=options.integer("block_size"),
        state_dtype=options.text("mamba_cache_dtype") or "auto",
        recurrent_dtype=options.text("mamba_ssm_cache_dtype") or "auto",
        prefix_caching=options.get("enable_prefix_caching") is not False,
        capability=(gpu and gpu.compute_capability) or (9, 0),
        speculative_tokens=options.speculative_tokens,
    )
    pool = find_pool(reading, settings)
    return None if pool is None else CacheCost(pool=pool, shared=parallel.decode_context)


def stated_reading(kv: KvCache) -> ModelReading:
    """Return a ModelReading with equal layers, as a manifest's `kv_cache` states them."""
    plain = Cache(kind=LayerKind.FULL, kv_heads=kv.heads, key_size=kv.head_dim, value_size=kv.head_dim)
    layer = Layer(kind=LayerKind.FULL, caches=(plain,))
    if kv.index_dim is not None:
        latent = Cache(kind=LayerKind.MLA, key_size=2 * kv.heads * kv.head_dim, latent=True)
        layer = Layer(kind=LayerKind.MLA, caches=(latent, index_cache(kv.index_dim)))
    return ModelReading(layers=(layer,) * kv.layers)
