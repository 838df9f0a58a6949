"""Bytes of KV cache and state that one sequence takes, by the engine's own arithmetic."""

from nim.models.cache.kv_cache_size import CachePool, default_batched_tokens, find_pool, stage_layers
from nim.models.cache.kv_page_size import CacheSettings

__all__ = ["CachePool", "CacheSettings", "default_batched_tokens", "find_pool", "stage_layers"]
