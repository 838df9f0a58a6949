"""A manifest for a model that has none: the profiles that any model can be tried with."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nim.manifest.architecture import Architecture, read_architecture
from nim.manifest.ids import content_id
from nim.manifest.load import lora_engine
from nim.manifest.types import GB, Manifest, Model, Profile

TENSOR_PARALLEL_SIZES = (1, 2, 4, 8)


def manifest_for_model(
    source: str,
    config: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    weights_bytes: int | None = None,
    tensor_parallel_size: int | None = None,
    pipeline_parallel_size: int | None = None,
) -> Manifest:
    """Profiles for 1, 2, 4 and 8 GPUs and for the CPU, each with and without LoRA.

    `config` is the model's parsed `config.json`, `weights_bytes` the size of its weight files; None where
    that is not known yet. A parallel size that was asked for is offered, too. Ids hold for this release only.
    """
    facts = read_architecture(config)
    model = Model(
        name=name or source.rstrip("/").rpartition("://")[2],
        source=source,
        max_model_len=facts.max_model_len,
        kv_cache=facts.kv_cache,
    )
    weights_gb = None if weights_bytes is None else weights_bytes / GB
    profiles = [
        _profile(model, tags, weights_gb)
        for tags in _tags(facts, tensor_parallel_size, pipeline_parallel_size)
    ]
    return Manifest(profiles=tuple(profiles), model=model, is_generic=True)


def _tags(facts: Architecture, tp_wish: int | None, pp_wish: int | None) -> Iterator[dict[str, str]]:
    """The GPU counts that divide the attention heads, and the CPU."""
    base = {"llm_engine": "vllm"} | ({"precision": facts.precision} if facts.precision else {})
    heads = facts.attention_heads
    sizes = {size for size in TENSOR_PARALLEL_SIZES if heads is None or heads % size == 0}
    for lora in ("false", "true"):
        for size in sorted(sizes | ({tp_wish} if tp_wish else set())):
            for stages in sorted({1, pp_wish or 1}):
                yield base | {"tp": str(size), "pp": str(stages), "feat_lora": lora}
        yield base | {"tp": "1", "pp": "1", "gpu": "cpu", "feat_lora": lora}


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
