"""Convert YAML nodes to dataclasses, whose fields are the allowed keys. Unknown keys are errors."""

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from yaml import Node

from nim.errors import nearest
from nim.manifest.yaml_nodes import Place, elements, items, raw_text_of, text_of, value_of


def read(kind: type, node: Node, place: Place, what: str) -> Any:
    """Return an object of dataclass `kind` from a mapping node; ManifestError for unknown or missing keys."""
    hints = field_types(kind)
    known = declared_fields(kind)
    found: dict[str, Any] = {}
    for name, key, value in items(node, place, what):
        if name not in known:
            _refuse_unknown(name, key, tuple(known), place, what)
        found[name] = _value(
            hints[name], value, place, _joined(what, name, place), known[name].metadata.get("pattern")
        )
    for name, declared in known.items():
        if name not in found and is_required(declared):
            place.refuse(node, f"read {what}: '{name}' is missing", allowed=tuple(known))
    return kind(**found)


@cache
def field_types(kind: type) -> dict[str, Any]:
    """Return a dataclass's field names and types as a dict, types without `| None`."""
    return {name: _without_none(hint) for name, hint in get_type_hints(kind).items()}


@cache
def declared_fields(kind: Any) -> dict[str, Field[Any]]:
    """Return a dataclass's field names and `Field` objects as a dict."""
    return {declared.name: declared for declared in fields(kind)}


def is_required(declared: Field[Any]) -> bool:
    """Return whether a dataclass field has no default."""
    return declared.default is MISSING and declared.default_factory is MISSING


def _value(kind: Any, node: Node, place: Place, what: str, pattern: str | None) -> Any:
    """Return a node's value as the type `kind`; ManifestError if it has another type."""
    if get_origin(kind) is Mapping:
        return _mapping(get_args(kind)[1], node, place, what, pattern)
    if get_origin(kind) is tuple:
        part = get_args(kind)[0]
        listed = enumerate(elements(node, place, what), start=1)
        return tuple(_value(part, element, place, f"{what} {number}", None) for number, element in listed)
    if is_dataclass(kind):
        return read(cast(type, kind), node, place, what)
    return _plain(kind, node, place, what, pattern)


def _mapping(kind: Any, node: Node, place: Place, what: str, pattern: str | None) -> dict[str, Any]:
    """Return a mapping node as a dict; ManifestError for keys that do not match `pattern`."""
    found = {}
    for name, key, value in items(node, place, what):
        if pattern and not re.fullmatch(pattern, name):
            plain = name.lstrip("-").replace("_", "-")
            better = f"write {plain}" if re.fullmatch(pattern, plain) else None
            place.refuse(key, f"use '{name}' in {what}: it does not match {pattern}", hint=better)
        found[name] = _value(kind, value, place, f"{what}.{name}", None)
    return found


def _plain(kind: Any, node: Node, place: Place, what: str, pattern: str | None) -> Any:
    """Return a scalar node's value as the type `kind`; ManifestError for another type or number ≤ 0."""
    if kind is Any:
        return value_of(node, place, what)
    if kind is str:
        text = raw_text_of(node, place, what) if pattern else text_of(node, place, what)
        if pattern and not re.fullmatch(pattern, text):
            place.refuse(node, f"use '{text}' as {what}: it does not match {pattern}")
        return text
    value = value_of(node, place, what)
    if kind is bool:
        if not isinstance(value, bool):
            place.refuse(node, f"use {value!r} as {what}: it is neither true nor false")
        return value
    wanted = (int, float) if kind is float else kind
    if isinstance(value, bool) or not isinstance(value, wanted):
        place.refuse(node, f"use {value!r} as {what}: it is not {_NAMES[kind]}", hint=_unquoted(value))
    if value <= 0:
        place.refuse(node, f"use {value} as {what}: it is not above zero")
    return value


_NAMES = {int: "a whole number", float: "a number"}


def _unquoted(value: object) -> str | None:
    """Return the hint "write … without quotes" for a quoted number; None for other values."""
    digits = isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value)
    return f"write {value} without quotes" if digits else None


def _refuse_unknown(name: str, key: Node, known: tuple[str, ...], place: Place, what: str) -> None:
    """Raise ManifestError for an unknown field, with the most similar known one."""
    near = nearest(name, known, count=1)
    hint = f"write {near[0]}" if near else None
    place.refuse(key, f"use the unknown field '{name}' in {what}", allowed=known, hint=hint)


def _joined(what: str, name: str, place: Place) -> str:
    """Return `what.name` for errors; only `name` directly below the document."""
    return name if what == place.document else f"{what}.{name}"


def _without_none(hint: Any) -> Any:
    """Return a type hint without its `| None`; other hints unchanged."""
    if get_origin(hint) in (Union, types.UnionType):
        (kind,) = (part for part in get_args(hint) if part is not types.NoneType)
        return kind
    return hint
