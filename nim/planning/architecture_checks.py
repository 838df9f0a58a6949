"""Check that the engine supports the architecture and quantization in a model's configuration."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nim.engine.catalog import Catalog
from nim.engine.catalog_checks import refuse, transformers_note, unknown_architecture, unknown_quantization
from nim.manifest.types import merged
from nim.models.checkpoint.directory import CONFIG
from nim.models.checkpoint.judge import LocalModel
from nim.models.config import ModelConfig, model_config
from nim.models.files import read_config
from nim.models.quantization import quantization_mapping
from nim.value_origins import Value

# The configuration is then read from elsewhere.
_OTHER_CONFIG = ("hf_config_path", "config_format")
# A draft model that names the model it is for, which is then the one that is served.
_SPECULATORS = "speculators_config"


def check_model_names(
    model: LocalModel, values: Mapping[str, Value], catalog: Catalog, *, strict: bool
) -> tuple[str, ...]:
    """Return warnings; with `strict`, raise WeightsError for names that the engine does not support."""
    said = {name: value.value for name, value in values.items()}
    config = _configuration(model, said)
    if config is None:
        return ()
    place = str(model.files.directory / CONFIG)
    return (
        *_check_architecture(config, said, catalog, place, strict=strict),
        *_check_quantization(config, said, catalog, place, strict=strict),
    )


def _configuration(model: LocalModel, said: Mapping[str, Any]) -> ModelConfig | None:
    """Return the configuration from `config.json` with overrides applied; None if another file decides."""
    if model.files.config != CONFIG or any(said.get(name) for name in _OTHER_CONFIG):
        return None
    config = read_config(model.files.directory)
    if _SPECULATORS in config.root.values:
        return None
    overrides = said.get("hf_overrides")
    if not isinstance(overrides, Mapping):
        return config
    changed = model_config(merged(config.root.values, overrides))
    return replace(config, root=changed.root, text=changed.text)


def _check_architecture(
    config: ModelConfig, said: Mapping[str, Any], catalog: Catalog, place: str, *, strict: bool
) -> tuple[str, ...]:
    """Return warnings about the architecture; with `strict`, raise WeightsError for an unsupported one."""
    implementation = str(said.get("model_impl") or "auto")
    auto_map = config.root.mapping("auto_map")
    refusal = unknown_architecture(
        config.architectures,
        catalog,
        place=place,
        model_impl=implementation,
        remote_code=any(str(name).startswith("AutoModel") for name in auto_map),
        trusted=bool(said.get("trust_remote_code")),
    )
    named = config.architectures
    note = transformers_note(named, catalog, implementation) if named else None
    return (*refuse(refusal, strict=strict), *([note] if note else []))


def _check_quantization(
    config: ModelConfig, said: Mapping[str, Any], catalog: Catalog, place: str, *, strict: bool
) -> tuple[str, ...]:
    """Return warnings about the quantization; with `strict`, raise WeightsError for an unsupported one."""
    raw = quantization_mapping(config)
    producer = raw.get("producer")
    by_modelopt = isinstance(producer, Mapping) and producer.get("name") == "modelopt"
    method = str(raw.get("quant_method") or ("modelopt" if by_modelopt else ""))
    if not method:
        return ()
    refusal = unknown_quantization(
        method,
        catalog,
        place=place,
        detail=str(raw.get("quant_algo") or config.model_type or "") or None,
        asked=str(said["quantization"]) if said.get("quantization") else None,
        allow_deprecated=bool(said.get("allow_deprecated_quantization")),
    )
    return refuse(refusal, strict=strict)
