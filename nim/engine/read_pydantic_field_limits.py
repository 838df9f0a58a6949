"""The limits of a configuration class's fields, read from the class: for generating the option table."""

import types
import typing
from collections.abc import Iterator
from typing import Any

_NAMES = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}

Row = dict[str, Any]


def limits_of(cls: Any) -> dict[str, Row]:
    """Return field name → limits (minimum, enum …) of a pydantic class; fields without are left out.

    Choices are omitted for a field whose validator runs first, since it may accept other spellings.
    """
    rewritten = set(_validated_first(cls))
    found: dict[str, Row] = {}
    for name, field in getattr(cls, "__pydantic_fields__", {}).items():
        row = _bounds(field.metadata)
        words = () if name in rewritten else tuple(_literals(field.annotation))
        if words:
            row["enum"] = list(words)
        if row and not name.startswith("_"):
            found[name] = row
    return found


def _bounds(metadata: list[Any]) -> Row:
    """Return the limits in a field's metadata as a dict such as {"minimum": 1}; {} if none."""
    return {
        theirs: getattr(item, ours)
        for item in metadata
        for ours, theirs in _NAMES.items()
        if getattr(item, ours, None) is not None
    }


def _literals(hint: Any) -> Iterator[Any]:
    """Yield the values of a type hint that is a Literal or optional Literal; nothing for other hints."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        for argument in arguments:
            yield from _literals(argument) if typing.get_origin(argument) is typing.Literal else (argument,)
    elif origin in (typing.Union, types.UnionType):
        others = [one for one in arguments if one is not types.NoneType]
        if len(others) == 1:
            yield from _literals(others[0])


def _validated_first(cls: Any) -> Iterator[str]:
    """Yield the names of fields whose validator runs before the type check."""
    decorators = getattr(cls, "__pydantic_decorators__", None)
    for decorator in decorators.field_validators.values() if decorators else ():
        if decorator.info.mode != "after":
            yield from decorator.info.fields
