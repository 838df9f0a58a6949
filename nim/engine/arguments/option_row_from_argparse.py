"""Convert one argparse action of the engine's parser into one row of the option table."""

import argparse
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from nim.engine.option_table import Count, Kind

Row = dict[str, Any]

_COUNTS = {None: Count.ONE, "?": Count.OPTIONAL, "+": Count.MANY, "*": Count.MANY}
_BUILTINS = {None: Kind.STRING, str: Kind.STRING, int: Kind.INTEGER, float: Kind.NUMBER}
_READERS = {
    "human_readable_int": Kind.HUMAN_INTEGER,
    "human_readable_int_or_auto": Kind.AUTO_INTEGER,
    "union_dict_and_str": Kind.OBJECT_OR_STRING,
    "_compute_kwargs.<locals>.parse_dataclass": Kind.CONFIG,
}
_DEPRECATED = re.compile(r"^\s*(\[deprecated\]|deprecated\b)|\bis deprecated\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"""(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z`"'(\[-])""")
_NAMED_VALUES = re.compile(r"^\{([^}]*)\}")


def row_of(action: argparse.Action, *, group: str, deprecated: bool = False) -> Row:
    """Return one argparse action as a row (dict of JSON values); TypeError if its type is unknown."""
    kind, nullable, keys = _kind(action)
    help_text = _sentences(action.help)
    row: Row = {
        "flags": [s for s in action.option_strings if not s.startswith("--no-") or not _pair(action)],
        "negatives": [s for s in action.option_strings if s.startswith("--no-") and _pair(action)],
        "kind": str(kind),
        "count": str(Count.NONE if action.nargs == 0 else _COUNTS[action.nargs]),  # type: ignore[index]
        "repeats": type(action).__name__ == "_AppendAction",
        "nullable": nullable,
        "choices": [choice for choice in action.choices or () if choice is not None],
        "suggested": _suggested(action.metavar),
        "keys": keys,
        "default": _jsonable(action.default),
        "deprecated": help_text.replace("\n", " ") if deprecated or _DEPRECATED.search(help_text) else None,
        "help": help_text.partition("\n")[0],
        "group": group,
    }
    return {key: value for key, value in row.items() if value or (key == "default" and value is not None)}


def keys_of(cls: Any) -> list[str]:
    """Return the names of the constructor fields of dataclass `cls`; [] if `cls` is no dataclass."""
    if cls is None or not is_dataclass(cls):
        return []
    return [field.name for field in fields(cls) if field.init]


def _pair(action: argparse.Action) -> bool:
    """Return True if the action is a BooleanOptionalAction (`--x` and `--no-x`)."""
    return isinstance(action, argparse.BooleanOptionalAction)


def _kind(action: argparse.Action) -> tuple[Kind, bool, list[str]]:
    """Return a tuple: the Kind of value, whether null is allowed, the allowed JSON keys ([] = any)."""
    if _pair(action):
        return Kind.BOOLEAN, False, []
    if action.nargs == 0:
        return Kind.FLAG, False, []
    reader: Any = action.type
    nullable = _qualname(reader).startswith("optional_type.")
    while _qualname(reader).startswith(("optional_type.", "parse_type.")):
        reader = _enclosed(reader)["return_type"]
    if type(action).__name__ == "LoRAParserAction":
        return Kind.LORA, False, []
    if reader is json.loads:
        return (Kind.ARRAY if isinstance(action.default, list) else Kind.OBJECT), nullable, []
    return _reader_kind(reader, action.dest), nullable, _config_keys(reader)


def _reader_kind(reader: Any, name: str) -> Kind:
    """Return the Kind for an argparse `type` function; TypeError for an unknown function."""
    kind = _BUILTINS.get(reader) or _READERS.get(_qualname(reader)) or _lambda_kind(reader)
    if kind is None:
        raise TypeError(f"cannot tell what {name} takes: its reader {reader!r} is new; add it to {__name__}")
    return kind


def _lambda_kind(reader: Callable[[str], Any]) -> Kind | None:
    """Return the Kind of a lambda, found by calling it with sample text; None for other functions."""
    if not _qualname(reader).endswith("<lambda>"):
        return None
    if reader("A-b") == "a_b":
        return Kind.FOLDED
    return Kind.COMMA_LIST if reader("1,x") == [1, "x"] else None


def _config_keys(reader: Any) -> list[str]:
    """Return the field names if the class behind `reader` forbids extra keys; else an empty list."""
    if _READERS.get(_qualname(reader)) is not Kind.CONFIG:
        return []
    cls = reader.__defaults__[0]
    config: Mapping[str, Any] = getattr(cls, "__pydantic_config__", {})
    return keys_of(cls) if config.get("extra") == "forbid" else []


def _qualname(reader: object) -> str:
    """Return the object's `__qualname__`; an empty string if it has none."""
    return getattr(reader, "__qualname__", "")


def _enclosed(function: Any) -> dict[str, Any]:
    """Return a dict of the variables in a function's closure: name → value."""
    return dict(
        zip(
            function.__code__.co_freevars,
            (cell.cell_contents for cell in function.__closure__),
            strict=True,
        )
    )


def _suggested(metavar: str | tuple[str, ...] | list[str] | None) -> list[str]:
    """Return the list of values that an argparse metavar names (`{a,b}` or a tuple); [] if none."""
    if isinstance(metavar, str):
        named = _NAMED_VALUES.match(metavar)
        return named.group(1).split(",") if named else []
    return [str(value) for value in metavar or ()]


def _jsonable(default: Any) -> Any:
    """Return an argparse default as a JSON value: enums by value, None for what JSON cannot express."""
    if isinstance(default, Enum):
        return _jsonable(default.value)
    if isinstance(default, str | int | float | bool) and default != argparse.SUPPRESS:
        return default
    if isinstance(default, list | tuple | set):
        items = [_jsonable(item) for item in (sorted(default) if isinstance(default, set) else default)]
        return None if None in items else items
    return {} if default == {} else None


def _sentences(text: str | None) -> str:
    """Return the first paragraph of a help text as one string: first sentence, newline, the rest."""
    paragraph = re.split(r"\n\s*\n", (text or "").replace("%%", "%").strip())[0]
    flat = " ".join(paragraph.split())
    return _SENTENCE_END.sub("\n", flat, count=1)
