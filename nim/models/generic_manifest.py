"""Generate a manifest with generic profiles for a model that has none."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from nim.manifest.load import lora_engine
from nim.manifest.profile_ids import content_id
from nim.manifest.types import GB, KvCache, Manifest, Model, Profile
from nim.models.facts import ModelFacts
from nim.models.types import LayerKind, ModelReading

UNKNOWN_SIZES = (1, 2, 4, 8)
"""What is offered where nothing is known of the model."""


def manifest_for_model(
    source: str,
    facts: ModelFacts | None = None,
    *,
    name: str | None = None,
    weights_bytes: int | None = None,
    tensor_parallel_size: int | None = None,
    pipeline_parallel_size: int | None = None,
    adapters: bool = True,
) -> Manifest:
    """Return profiles for each number of GPUs that the engine accepts, and for the CPU.

    With `adapters` each is there with LoRA, too.
    `facts` are those of the model, `weights_bytes` the size of its weights; None where that is not known yet.
    A parallel size that was asked for is offered in any case. Ids hold for this release only.
    """
    reading = facts.reading if facts else ModelReading()
    model = Model(
        name=name or source.rstrip("/").rpartition("://")[2],
        source=source,
        max_model_len=reading.context.tokens if reading.context else None,
        kv_cache=_kv_cache(reading),
    )
    sizes = (facts.tensor_parallel_sizes() if facts else None) or UNKNOWN_SIZES
    weights_gb = None if weights_bytes is None else weights_bytes / GB
    profiles = [
        _profile(model, tags, weights_gb)
        for tags in _tags(reading.precision, sizes, tensor_parallel_size, pipeline_parallel_size)
        if adapters or tags["feat_lora"] == "false"
    ]
    return Manifest(profiles=tuple(profiles), model=model, is_generic=True)


def _tags(
    precision: str | None, sizes: Iterable[int], tp_wish: int | None, pp_wish: int | None
) -> Iterator[dict[str, str]]:
    """Yield the tags of each generic profile."""
    base = {"llm_engine": "vllm"} | ({"precision": precision} if precision else {})
    for lora in ("false", "true"):
        for size in sorted({*sizes, *([tp_wish] if tp_wish else [])}):
            for stages in sorted({1, pp_wish or 1}):
                yield base | {"tp": str(size), "pp": str(stages), "feat_lora": lora}
        yield base | {"tp": "1", "pp": "1", "gpu": "cpu", "feat_lora": lora}


def _kv_cache(reading: ModelReading) -> KvCache | None:
    """Return the manifest's KV cache figures if all layers are alike, else None."""
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
    """Return a generic profile with these tags."""
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
