"""Rows for the installed engine's configuration classes: the value of each field that `config.json` omits."""

import dataclasses
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

# Fields for training, sampling and the output format: none affects the size.
_UNWANTED = (
    "transformers_version", "architectures", "output_", "return_dict", "id2label", "label2id", "problem_type",
    "_token_id", "_token_index", "_token", "dropout", "pdrop", "init", "use_cache", "mask_", "loss", "_coef",
    "layerdrop", "eps", "jitter", "temperature", "summary_", "begin_suppress", "forced_", "prefix",
    "use_return", "chunk_size_feed_forward", "keys_to", "dtype_",
)  # fmt: skip
_PLAIN = (bool, int, float, str)
_LONGEST_LIST = 16


def class_rows() -> dict[str, dict[str, Any]]:
    """Return a dict: model type → row of its configuration class. Imports Transformers and vLLM."""
    _prepare_process()
    return {name: row for name, cls in sorted(_classes()) if (row := _row(cls, name))}


def _prepare_process() -> None:
    """Set offline and log variables in os.environ and silence warnings, before vLLM is imported."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def _classes() -> Iterator[tuple[str, Any]]:
    """Yield (model type, configuration class); vLLM's own class before that of Transformers."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
    from vllm.transformers_utils.config import _CONFIG_REGISTRY as OWN

    for name in sorted({*CONFIG_MAPPING_NAMES, *OWN}):
        try:
            yield name, OWN[name] if name in OWN else CONFIG_MAPPING[name]
        except (ImportError, AttributeError) as error:
            sys.stderr.write(f"left out: {name}: {error}\n")


def _row(cls: Any, name: str) -> dict[str, Any]:
    """Return the row (dict) of configuration class `cls`: defaults, names, parts …, without empty ones."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    instance = _instance(cls)
    parts = _parts(cls, instance)
    path = _text_path(instance, parts)
    architecture = MODEL_MAPPING_NAMES.get(name)
    row = {
        "architecture": architecture if isinstance(architecture, str) else None,
        "defaults": dict(_defaults(cls)),
        "names": dict(cls.attribute_map),
        "parts": {part: kind for part, (kind, _) in parts.items()},
        "rope": hasattr(cls, "rope_parameters") or hasattr(instance, "rope_parameters"),
        "open": sorted(part for part, (_, is_open) in parts.items() if is_open),
    }
    return {key: value for key, value in row.items() if value} | ({"text": path} if path is not None else {})


def _instance(cls: Any) -> Any:
    """Return `cls()`; None, with a line on stderr, if the class cannot be built without arguments."""
    try:
        return cls()
    except Exception as error:  # a class without usable defaults may raise anything
        sys.stderr.write(f"without an instance: {cls.__name__}: {str(error)[:100]}\n")
        return None


def _defaults(cls: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of the class's parameters with a plain default, without unwanted ones."""
    fields = {f.name: f.default for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    named = {p.name: p.default for p in inspect.signature(cls.__init__).parameters.values()}
    for name, value in {**fields, **named}.items():
        if name == "is_encoder_decoder" and not value:
            continue
        if _is_wanted(name) and (isinstance(value, _PLAIN) or _is_short_list(value)) and value == value:
            yield name, list(value) if isinstance(value, tuple) else value


def _is_wanted(name: str) -> bool:
    """Return True if a parameter's name belongs in the row: nothing for training or sampling."""
    return not any(word in name for word in _UNWANTED) and name not in ("kwargs", "self")


def _is_short_list(value: Any) -> bool:
    """Return True if the value is a list or tuple of at most 16 numbers or strings."""
    return (
        isinstance(value, list | tuple)
        and len(value) <= _LONGEST_LIST
        and all(isinstance(item, int | str) for item in value)
    )


def _parts(cls: Any, instance: Any) -> dict[str, tuple[str, bool]]:
    """Return a dict: nested configuration → (its model type, whether JSON may name another type)."""
    found = {}
    for part, part_class in cls.sub_configs.items():
        held = getattr(instance, part, None)
        is_open = part_class.__name__ == "AutoConfig"
        kind = getattr(held, "model_type", "") or ("" if is_open else part_class.model_type)
        found[part] = (kind, is_open)
    for part, held in vars(instance).items() if instance is not None else ():
        if hasattr(held, "get_text_config") and part not in found:
            found[part] = (held.model_type, False)
    return found


def _text_path(instance: Any, parts: Mapping[str, Any]) -> list[str] | None:
    """Return the attribute names leading to the language part; [] for itself, None if there is none."""
    try:
        text = instance.get_text_config()
    except Exception:  # there is none, or the class finds several
        return None
    if text is instance:
        return []
    for part in parts:
        held = getattr(instance, part, None)
        if held is text:
            return [part]
        for inner, value in vars(held).items() if hasattr(held, "get_text_config") else ():
            if value is text:
                return [part, inner]
    return None
