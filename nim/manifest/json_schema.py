"""The JSON schema of a manifest, generated from the classes that read it, for checks in editors."""

import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, get_args, get_origin

from nim.manifest.types import Document
from nim.manifest.yaml_to_dataclass import declared_fields, field_types, is_required

_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "exclusiveMinimum": 0},
    float: {"type": "number", "exclusiveMinimum": 0},
    Any: {},
}


def manifest_schema() -> dict[str, Any]:
    """Return the JSON schema of a manifest file as a dict."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Model manifest"}
    return head | _object(Document)


def schema_text() -> str:
    """Return the JSON schema as the text of `profiles/manifest.schema.json`; writes no file."""
    return json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


def _object(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a dataclass as a dict."""
    types, declared = field_types(kind), declared_fields(kind)
    properties = {
        name: _described(_value(types[name], field.metadata.get("pattern")), field.metadata.get("about"))
        for name, field in declared.items()
    }
    return {
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
        "properties": properties,
        "required": [name for name, field in declared.items() if is_required(field)],
        "additionalProperties": False,
    }


def _value(kind: Any, pattern: str | None) -> dict[str, Any]:
    """Return the JSON schema of a field's type as a dict."""
    if get_origin(kind) is Mapping:
        values = {"type": "object", "additionalProperties": _value(get_args(kind)[1], None)}
        return values | ({"propertyNames": {"pattern": f"^({pattern})$"}} if pattern else {})
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _value(get_args(kind)[0], None), "minItems": 1}
    if is_dataclass(kind):
        return _object(kind)
    return _PLAIN[kind] | ({"pattern": f"^({pattern})$"} if pattern else {})


def _described(schema: dict[str, Any], about: str | None) -> dict[str, Any]:
    """Return the schema (dict) with the description `about`; unchanged if it already has one."""
    return {"description": about} | schema if about and "description" not in schema else schema
