"""Catalog rows for model architectures: what each supports, by the engine's own inspection."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from nim.engine.supported_names_catalog import Feature

Row = dict[str, Any]

# The registry's tables and their names in the catalog.
_TABLES = {
    "_TEXT_GENERATION_MODELS": "text generation",
    "_EMBEDDING_MODELS": "embedding",
    "_LATE_INTERACTION_MODELS": "late interaction",
    "_REWARD_MODELS": "reward",
    "_TOKEN_CLASSIFICATION_MODELS": "token classification",
    "_SEQUENCE_CLASSIFICATION_MODELS": "sequence classification",
    "_MULTIMODAL_MODELS": "multimodal",
    "_SPECULATIVE_DECODING_MODELS": "speculative decoding",
    "_TRANSFORMERS_SUPPORTED_MODELS": "transformers",
    "_TRANSFORMERS_BACKEND_MODELS": "transformers backend",
}
_FEATURES = {
    "is_text_generation_model": Feature.GENERATE,
    "is_pooling_model": Feature.POOLING,
    "supports_multimodal": Feature.MULTIMODAL,
    "supports_multimodal_raw_input_only": Feature.RAW_INPUT_ONLY,
    "supports_multimodal_encoder_tp_data": Feature.ENCODER_DATA_PARALLEL,
    "supports_pp": Feature.PIPELINE_PARALLEL,
    "supports_transcription": Feature.TRANSCRIPTION,
    "supports_transcription_only": Feature.TRANSCRIPTION_ONLY,
    "has_inner_state": Feature.INNER_STATE,
    "is_attention_free": Feature.ATTENTION_FREE,
    "is_hybrid": Feature.HYBRID,
    "has_noops": Feature.SKIPS_LAYERS,
    "supports_mamba_prefix_caching": Feature.MAMBA_PREFIX_CACHING,
}


def architecture_rows() -> dict[str, Row]:
    """Return a dict: architecture → row (class, tables, features), from vLLM's model registry."""
    from vllm.model_executor.models import registry

    return {name: _row(registry, name) for name in sorted(registry._VLLM_MODELS)}  # noqa: SLF001


def removed_architectures() -> dict[str, str]:
    """Return a dict: architecture that vLLM lists as removed → the last release that had it."""
    from vllm.model_executor.models.registry import _PREVIOUSLY_SUPPORTED_MODELS

    return dict(sorted(_PREVIOUSLY_SUPPORTED_MODELS.items()))


def plugin_architectures() -> dict[str, str]:
    """Return a dict: architecture that only a vLLM plugin serves → the plugin's URL."""
    from vllm.model_executor.models.registry import _OOT_SUPPORTED_MODELS

    return dict(sorted(_OOT_SUPPORTED_MODELS.items()))


def convertible_suffixes() -> list[list[str]]:
    """Return a list with [suffix, runner, conversion] for each architecture suffix that vLLM can convert.

    Each comes with the runner and the conversion of a model with that suffix.
    """
    from vllm.config.model import iter_architecture_defaults

    return [[suffix, runner, convert] for suffix, (runner, convert) in iter_architecture_defaults()]


def transformers_architectures(own: Mapping[str, Row]) -> Iterator[str]:
    """Yield names of Transformers classes that vLLM's Transformers backend accepts, but `own`."""
    import transformers

    modules = transformers._class_to_module  # noqa: SLF001 - importing all classes takes twice as long
    for name in sorted(name for name, module in modules.items() if ".modeling_" in module):
        if name in own or name.endswith("PreTrainedModel"):
            continue
        if _is_taken(getattr(transformers, name), transformers.PreTrainedModel):
            yield name


def _is_taken(found: Any, model: type) -> bool:
    """Return True if `found` is a model class whose attention vLLM can replace by its own."""
    if model not in getattr(found, "__mro__", ()):
        return False
    return bool(found.is_backend_compatible() or found._can_set_attn_implementation())  # noqa: SLF001


def _row(registry: Any, name: str) -> Row:
    """Return the catalog row of one architecture: class, tables, features. Imports its vLLM module."""
    from vllm.model_executor.models import interfaces

    module, class_name = registry._VLLM_MODELS[name]  # noqa: SLF001
    found = getattr(importlib.import_module(registry._resolve_module_name(module)), class_name)  # noqa: SLF001
    info = registry._ModelInfo.from_model_cls(found)  # noqa: SLF001
    features = [feature for field, feature in _FEATURES.items() if getattr(info, field)]
    if interfaces.supports_lora(found):
        features.append(Feature.LORA)
    if interfaces.MixtureOfExperts in found.__mro__:
        features.append(Feature.EXPERT_BALANCING)
    row: Row = {
        "class": f"{found.__module__}.{found.__name__}".removeprefix("vllm."),
        "tables": [title for table, title in _TABLES.items() if name in getattr(registry, table)],
        "features": sorted(features),
    }
    if info.attn_type != "decoder":
        row["attention"] = info.attn_type
    if info.is_pooling_model and info.score_type != "bi-encoder":
        row["score"] = info.score_type
    return row
