"""`--option.key.key value`: build one object per option from its parts, as the engine does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nim.engine.arguments.read_numbers_and_names import MisfitError, human_integer
from nim.engine.arguments.read_option_values import Reading, understood
from nim.engine.arguments.read_unquoted_json import NotJSONError, read_json, read_loosely
from nim.engine.option_table import Option


@dataclass(slots=True)
class Keyed:
    """The object built so far from `--option.key value` parts, and their tokens."""

    option: Option
    whole: dict[str, Any] = field(default_factory=dict)
    raw: list[str] = field(default_factory=list)


def keyed_value(text: str) -> Reading:
    """Return the text after `--option.key` as a Reading: JSON, 80g, repaired JSON, else a string."""
    try:
        return Reading(value=read_json(text))
    except NotJSONError:
        pass
    try:
        return Reading(value=human_integer(text))
    except MisfitError:
        pass
    try:
        value = read_loosely(text)
    except NotJSONError:
        return Reading(value=text)
    return Reading(value=value, note=understood(value))


def nested(keys: Sequence[str], value: Any) -> dict[str, Any]:
    """Return nested dicts: {"a": {"b": value}} for the keys a and b."""
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def merge(whole: dict[str, Any], given: Mapping[str, Any], path: str = "") -> list[str]:
    """Merge `given` into `whole` in place, extending lists; return the dotted keys of replaced values."""
    replaced: list[str] = []
    for key, value in given.items():
        there = whole.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            replaced += merge(there, value, f"{path}{key}.")
        elif isinstance(value, list) and isinstance(there, list):
            there.extend(value)
        else:
            replaced += [f"{path}{key}"] if key in whole else []
            whole[key] = value
    return replaced
