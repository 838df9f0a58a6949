"""Bytes of KV cache and state that one sequence takes, by the engine's own arithmetic."""

from nim.models.cache.kv_cache_size import (
    cache_bytes,
    default_batched_tokens,
    longest_context,
    spare_block_bytes,
    stage_layers,
)
from nim.models.cache.kv_page_size import CacheSettings

__all__ = [
    "CacheSettings",
    "cache_bytes",
    "default_batched_tokens",
    "longest_context",
    "spare_block_bytes",
    "stage_layers",
]
