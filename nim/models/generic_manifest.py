"""A manifest for a model that has none: the profiles that any model can be tried with."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nim.manifest.ids import content_id
from nim.manifest.load import lora_engine
from nim.manifest.types import GB, KvCache, Manifest, Model, Profile
from nim.models.config import ModelConfig, model_config
from nim.models.reading import read_model
from nim.models.types import LayerKind, ModelReading

TENSOR_PARALLEL_SIZES = (1, 2, 4, 8)


def manifest_for_model(
    source: str,
    config: Mapping[str, Any] | ModelConfig | None = None,
    *,
    name: str | None = None,
    weights_bytes: int | None = None,
    tensor_parallel_size: int | None = None,
    pipeline_parallel_size: int | None = None,
) -> Manifest:
    """Return profiles for 1, 2, 4 and 8 GPUs and for the CPU, each with and without LoRA.

    `config` is the model's configuration or its parsed `config.json`, `weights_bytes` the size of its weight
    files; None where that is not known yet. A parallel size that was asked for is offered, too. Ids hold for
    this release only.
    """
    reading = read_model(config if isinstance(config, ModelConfig) else model_config(config or {}))
    model = Model(
        name=name or source.rstrip("/").rpartition("://")[2],
        source=source,
        max_model_len=reading.context.tokens if reading.context else None,
        kv_cache=_kv_cache(reading),
    )
    weights_gb = None if weights_bytes is None else weights_bytes / GB
    profiles = [
        _profile(model, tags, weights_gb)
        for tags in _tags(reading, tensor_parallel_size, pipeline_parallel_size)
    ]
    return Manifest(profiles=tuple(profiles), model=model)


def _tags(reading: ModelReading, tp_wish: int | None, pp_wish: int | None) -> Iterator[dict[str, str]]:
    """The GPU counts that the heads can be shared out to, and the CPU."""
    base = {"llm_engine": "vllm"} | ({"precision": reading.precision} if reading.precision else {})
    sizes = {size for size in TENSOR_PARALLEL_SIZES if _divides(size, reading)}
    for lora in ("false", "true"):
        for size in sorted(sizes | ({tp_wish} if tp_wish else set())):
            for stages in sorted({1, pp_wish or 1}):
                yield base | {"tp": str(size), "pp": str(stages), "feat_lora": lora}
        yield base | {"tp": "1", "pp": "1", "gpu": "cpu", "feat_lora": lora}


def _divides(size: int, reading: ModelReading) -> bool:
    """Whether ranks share the heads, and share or repeat the KV heads."""
    heads, kv = reading.heads, reading.kv_heads
    return not (heads or 0) % size and (not kv or kv % size == 0 or size % kv == 0)


def _kv_cache(reading: ModelReading) -> KvCache | None:
    """Layers that are all alike; what others keep a manifest cannot say."""
    layers = reading.layers or ()
    caches = {cache for layer in layers for cache in layer.caches}
    if len(caches) != 1 or any(layer.kind not in (LayerKind.FULL, LayerKind.NONE) for layer in layers):
        return None
    cache = caches.pop()
    if cache.key_size != cache.value_size:
        return None
    count = sum(layer.kind == LayerKind.FULL for layer in layers)
    return KvCache(layers=count, heads=cache.kv_heads, head_dim=cache.key_size)


def _profile(model: Model, tags: dict[str, str], weights_gb: float | None) -> Profile:
    profile = Profile(
        id="",
        tags=tags,
        engine=lora_engine(tags),
        source=model.source,
        files={"checkpoint": model.source},
        download_gb=weights_gb if "://" in model.source else None,
        weights_gb=weights_gb,
    )
    return replace(profile, id=content_id(model.name, profile))
