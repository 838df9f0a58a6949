"""Merge the layers to one value per option, with everything it overrode."""

from collections.abc import Iterable, Mapping
from typing import Any

from nim.options.option_layers import Entry
from nim.value_origins import Value


def resolve(layered: Iterable[Entry]) -> dict[str, Value]:
    """Return one value per option. The strongest layer wins; within a layer, the later entry.

    JSON objects are merged key by key. `previous` holds the values that each entry overrode, strongest first.
    Names are sorted, so that equal input gives equal plans.
    """
    resolved: dict[str, Value] = {}
    for entry in sorted(layered, key=lambda entry: entry.origin.layer):
        resolved[entry.name] = _over(resolved.get(entry.name), entry)
    return dict(sorted(resolved.items()))


def merge(weak: Any, strong: Any) -> Any:
    """Return two JSON objects merged key by key, deeply; for other values, the strong one."""
    if not isinstance(weak, Mapping) or not isinstance(strong, Mapping):
        return strong
    merged = dict(weak)
    for key, value in strong.items():
        merged[key] = merge(weak[key], value) if key in weak else value
    return merged


def _over(old: Value | None, entry: Entry) -> Value:
    """Return an entry's value merged over the old one, with the history."""
    if old is None:
        return Value(value=entry.value, origin=entry.origin)
    was = Value(value=old.value, origin=old.origin)
    return Value(value=merge(old.value, entry.value), origin=entry.origin, previous=(was, *old.previous))
