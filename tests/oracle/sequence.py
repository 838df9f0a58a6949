"""The KV cache that one sequence of the whole context takes, computed as vLLM's engine core does."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

KINDS = {
    "MLAAttentionSpec": "mla",
    "SlidingWindowMLASpec": "sliding window mla",
    "FullAttentionSpec": "full",
    "SinkFullAttentionSpec": "full",
    "RSWASpec": "full",
    "SlidingWindowSpec": "sliding window",
    "ChunkedLocalAttentionSpec": "chunked",
    "CrossAttentionSpec": "cross",
    "MambaSpec": "state",
}
Verdict = dict[str, Any]
Specs = dict[str, Any]  # KVCacheSpec by the layer's name


def measure_cache(config: Any, specs: Specs, stages: Sequence[Specs] = ()) -> Verdict:
    """Return the bytes on the rank that has `specs`, and the caches and layers they are made of.

    `stages` are the specs of all stages of a pipeline: layers are grouped as those of the whole model.
    """
    from vllm.v1.core import kv_cache_utils

    whole = {name: spec for stage in stages or (specs,) for name, spec in stage.items()}
    groups = kv_cache_utils._project_kv_cache_groups_to_worker(
        kv_cache_utils.get_kv_cache_groups(config, whole), specs
    )
    return {
        "cache_bytes": kv_cache_utils._max_memory_usage_bytes_from_groups(config, groups),
        "layer_cache_bytes": kv_cache_utils.max_memory_usage_bytes(config, specs.values()),
        "null_block_bytes": kv_cache_utils._pool_bytes_per_block(config, groups) if groups else 0,
        "groups": len(groups),
        "caches": _group_caches(specs),
        "layers": _count_layers(config, specs),
    }


def collect_specs(config: Any) -> Specs:
    """Return what each layer of the model just built keeps, and resolve the layout of the cache."""
    from vllm.config import set_current_vllm_config

    with set_current_vllm_config(config):
        return _collect_specs(config)


def _collect_specs(config: Any) -> Specs:
    from vllm.platforms import current_platform
    from vllm.v1.attention.backends.utils import resolve_kv_cache_layout
    from vllm.v1.core.single_type_kv_cache_manager import register_all_kvcache_specs
    from vllm.v1.worker.gpu.attn_utils import get_kv_cache_spec
    from vllm.v1.worker.worker_base import get_current_attn_backends, get_supported_kv_cache_layouts

    current_platform.update_block_size_for_backend(config)
    config.validate_block_size()
    register_all_kvcache_specs(config)
    specs: Specs = get_kv_cache_spec(config)
    layouts = [layout.name for layout in get_supported_kv_cache_layouts(get_current_attn_backends(config))]
    resolve_kv_cache_layout(config, [layouts], list(specs.values()))
    return specs


def _group_caches(specs: Specs) -> list[Verdict]:
    """Return the caches of all layers, those alike as one with their count."""
    counted = Counter(json.dumps(_describe(spec), sort_keys=True) for spec in specs.values())
    return [json.loads(text) | {"count": count} for text, count in sorted(counted.items())]


def _describe(spec: Any) -> Verdict:
    found = {
        "kind": _name_kind(spec),
        "block_size": spec.block_size,
        "page_bytes": spec.page_size_bytes,
        "kv_heads": getattr(spec, "num_kv_heads", None),
        "head_size": getattr(spec, "head_size", None),
        "head_size_v": getattr(spec, "head_size_v", None),
        "window": getattr(spec, "sliding_window", None) or getattr(spec, "attention_chunk_size", None),
        "dtype": _name_dtype(getattr(spec, "dtype", None)),
        "tokens_per_state": str(getattr(spec, "tokens_per_state", 1)),
        "shapes": [list(shape) for shape in getattr(spec, "shapes", ())] or None,
        "dtypes": [_name_dtype(dtype) for dtype in getattr(spec, "dtypes", ())] or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _name_dtype(dtype: Any) -> str | None:
    return None if dtype is None else str(dtype).removeprefix("torch.")


def _name_kind(spec: Any) -> str:
    if getattr(spec, "cache_role", "sparse") == "indexer":
        return "indexer"
    return KINDS.get(type(spec).__name__, type(spec).__name__)


def _count_layers(config: Any, specs: Specs) -> dict[str, int]:
    """Return kind → number of layers, by each layer's first cache that is not an indexer's."""
    from vllm.model_executor.models.utils import extract_layer_index

    kinds: dict[int, str] = {}
    for name, spec in specs.items():
        index = extract_layer_index(name)
        if kinds.get(index, "indexer") == "indexer":
            kinds[index] = _name_kind(spec)
    total = config.model_config.model_arch_config.total_num_hidden_layers
    found = Counter(kinds.values())
    if len(kinds) < total:
        found["none"] = total - len(kinds)
    return dict(sorted(found.items()))
