"""Bytes of KV cache and state that one sequence takes, by the engine's own arithmetic."""

from nim.models.cache.pages import CacheSettings
from nim.models.cache.size import (
    cache_bytes,
    default_batched_tokens,
    longest_context,
    spare_block_bytes,
    stage_layers,
)

__all__ = [
    "CacheSettings",
    "cache_bytes",
    "default_batched_tokens",
    "longest_context",
    "spare_block_bytes",
    "stage_layers",
]
