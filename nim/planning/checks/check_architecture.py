"""Check that the engine supports the architecture and quantization in a model's configuration."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nim.engine.arguments.argument_error_messages import Refusal
from nim.engine.check_names_against_catalog import (
    OTHER_WEIGHTS,
    needless_quantization,
    refuse,
    transformers_note,
    unknown_architecture,
    unknown_quantization,
)
from nim.engine.supported_names_catalog import Catalog
from nim.manifest.types import merged
from nim.models.checkpoint.list_model_directory import CONFIG
from nim.models.checkpoint.read_local_model import LocalModel
from nim.models.config.model_config import ModelConfig, model_config
from nim.models.config.read_config_files import read_config
from nim.models.find_model_faults import layers_fault, quantization_detail, quantization_name
from nim.models.quantization.find_refused_quantization import quantization_fault
from nim.models.quantization.read_quantization import quantization_mapping
from nim.value_origins import Value

# The configuration is then read from elsewhere.
_OTHER_CONFIG = ("hf_config_path", "config_format")
# A draft model that names the model it is for, which is then the one that is served.
_SPECULATORS = "speculators_config"


def check_model_names(
    model: LocalModel, values: Mapping[str, Value], catalog: Catalog, *, strict: bool
) -> tuple[str, ...]:
    """Return warnings; if `strict`, WeightsError for an architecture or quantization vLLM lacks."""
    said = {name: value.value for name, value in values.items()}
    config = _configuration(model, said)
    if config is None:
        return ()
    place = str(model.files.directory / CONFIG)
    return (
        *_check_architecture(config, said, catalog, place, strict=strict),
        *_check_layers(config, said, place, strict=strict),
        *_check_quantization(config, said, catalog, place, strict=strict),
        *_check_unquantized(config, said, catalog, model, strict=strict),
    )


def _configuration(model: LocalModel, said: Mapping[str, Any]) -> ModelConfig | None:
    """Read config.json, apply --hf-overrides, return ModelConfig; None if another file counts."""
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
    """Return warnings; if `strict`, WeightsError for an architecture that vLLM cannot load."""
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


def _check_layers(
    config: ModelConfig, said: Mapping[str, Any], place: str, *, strict: bool
) -> tuple[str, ...]:
    """Return warnings; if `strict`, WeightsError for layers of the model that vLLM cannot run."""
    fault = layers_fault(config)
    if fault is None or said.get("model_impl") in ("transformers", "terratorch"):
        return ()
    hint = "another model; --model-impl transformers, if Transformers' code of it will do"
    return refuse(Refusal(message=f"cannot load the model ({place}): {fault}", hint=hint), strict=strict)


def _check_quantization(
    config: ModelConfig, said: Mapping[str, Any], catalog: Catalog, place: str, *, strict: bool
) -> tuple[str, ...]:
    """Return warnings; if `strict`, WeightsError for a quantization that vLLM cannot load."""
    method = quantization_name(config)
    if not method:
        return ()
    detail = quantization_detail(config)
    asked = str(said["quantization"]) if said.get("quantization") else None
    refusal = unknown_quantization(
        method,
        catalog,
        place=place,
        detail=detail,
        asked=asked,
        allow_deprecated=bool(said.get("allow_deprecated_quantization")),
    )
    found = catalog.checkpoint(method, detail)
    loads = found and (found.asked.get(asked, found.method) if asked else found.method)
    fault = quantization_fault(config, loads) if loads and refusal is None else None
    if fault:
        message = f'cannot load weights quantized by "{method}" ({place}): {fault}'
        refusal = Refusal(message=message, hint=OTHER_WEIGHTS)
    return refuse(refusal, strict=strict)


def _check_unquantized(
    config: ModelConfig, said: Mapping[str, Any], catalog: Catalog, model: LocalModel, *, strict: bool
) -> tuple[str, ...]:
    """Return warnings; if `strict`, WeightsError for --quantization on unquantized weights."""
    elsewhere = said.get("quantization_config") or said.get("hf_overrides") or model.weights is None
    if quantization_name(config) or quantization_mapping(config) or elsewhere:
        return ()
    directory = model.files.directory
    names = sorted(path.name for path in directory.glob("*.json"))
    asked = str(said["quantization"]) if said.get("quantization") else None
    place = str(directory / CONFIG)
    return refuse(needless_quantization(asked, names, catalog, place=place), strict=strict)
