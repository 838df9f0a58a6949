"""Whether the engine has the architecture and the quantization that a model's configuration names."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nim.engine.catalog import Catalog
from nim.engine.catalog_checks import refuse, transformers_note, unknown_architecture, unknown_quantization
from nim.models.checkpoint.directory import CONFIG
from nim.models.checkpoint.judge import LocalModel
from nim.values import Value

QUANTIZATION_FILE = "hf_quant_config.json"
_KEYS = ("quantization_config", "compression_config")
# The configuration is then read from elsewhere, or made of two.
_OTHER_CONFIG = ("hf_config_path", "config_format")
_SPECULATORS = "speculators_config"


def check_model_names(
    model: LocalModel, values: Mapping[str, Value], catalog: Catalog, *, strict: bool
) -> tuple[str, ...]:
    """Return warnings; WeightsError for what the engine does not have, with `strict`."""
    said = {name: value.value for name, value in values.items()}
    config = {**model.config, **_overrides(said)}
    if (
        model.files.config != CONFIG
        or _SPECULATORS in config
        or any(said.get(name) for name in _OTHER_CONFIG)
    ):
        return ()
    place = str(model.files.directory / CONFIG)
    return (
        *_check_architecture(config, said, catalog, place, strict=strict),
        *_check_quantization(model, config, said, catalog, place, strict=strict),
    )


def _check_architecture(
    config: Mapping[str, Any], said: Mapping[str, Any], catalog: Catalog, place: str, *, strict: bool
) -> tuple[str, ...]:
    architectures = [str(name) for name in config.get("architectures") or ()]
    implementation = str(said.get("model_impl") or "auto")
    refusal = unknown_architecture(
        architectures,
        catalog,
        place=place,
        model_impl=implementation,
        remote_code=any(str(name).startswith("AutoModel") for name in config.get("auto_map") or ()),
        trusted=bool(said.get("trust_remote_code")),
    )
    note = transformers_note(architectures, catalog, implementation) if architectures else None
    return (*refuse(refusal, strict=strict), *([note] if note else []))


def _check_quantization(
    model: LocalModel,
    config: Mapping[str, Any],
    said: Mapping[str, Any],
    catalog: Catalog,
    place: str,
    *,
    strict: bool,
) -> tuple[str, ...]:
    raw = _quantization(model, config)
    method, detail = _method(raw), _algorithm(raw) or str(config.get("model_type") or "")
    if not method:
        return ()
    refusal = unknown_quantization(
        method,
        catalog,
        place=place,
        detail=detail or None,
        asked=str(said["quantization"]) if said.get("quantization") else None,
        allow_deprecated=bool(said.get("allow_deprecated_quantization")),
    )
    return refuse(refusal, strict=strict)


def _quantization(model: LocalModel, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """As the engine looks for it: ModelOpt's older releases have a file of their own."""
    text = config.get("text_config")
    parts = (config, text) if isinstance(text, Mapping) else (config,)
    found = [part[key] for part in parts for key in _KEYS if isinstance(part.get(key), Mapping)]
    if not found and QUANTIZATION_FILE in model.files.names:
        with suppress(OSError, ValueError):
            found = [json.loads((model.files.directory / QUANTIZATION_FILE).read_bytes())]
    return found[0] if found and isinstance(found[0], Mapping) else {}


def _method(raw: Mapping[str, Any]) -> str:
    producer = raw.get("producer")
    by_modelopt = isinstance(producer, Mapping) and producer.get("name") == "modelopt"
    return str(raw.get("quant_method") or ("modelopt" if by_modelopt else ""))


def _algorithm(raw: Mapping[str, Any]) -> str:
    inner = raw.get("quantization")
    return str((inner if isinstance(inner, Mapping) else raw).get("quant_algo") or "")


def _overrides(said: Mapping[str, Any]) -> Mapping[str, Any]:
    overrides = said.get("hf_overrides")
    return overrides if isinstance(overrides, Mapping) else {}
