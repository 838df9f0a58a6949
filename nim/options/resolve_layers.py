"""Merge the layers to one value per option, with everything it overrode."""

from collections.abc import Iterable, Mapping
from typing import Any

from nim.options.option_layers import Entry
from nim.value_origins import Value


def resolve(layered: Iterable[Entry]) -> dict[str, Value]:
    """Return a dict: option → Value with origin and overridden values. The strongest layer wins.

    JSON objects are merged key by key. `previous` holds the values that each entry overrode, strongest first.
    Names are sorted, so that equal input gives equal plans.
    """
    resolved: dict[str, Value] = {}
    for entry in sorted(layered, key=lambda entry: entry.origin.layer):
        resolved[entry.name] = _over(resolved.get(entry.name), entry)
    return dict(sorted(resolved.items()))


def merge(weak: Any, strong: Any) -> Any:
    """Return two dicts merged deeply, `strong` winning; `strong` alone if either is no dict."""
    if not isinstance(weak, Mapping) or not isinstance(strong, Mapping):
        return strong
    merged = dict(weak)
    for key, value in strong.items():
        merged[key] = merge(weak[key], value) if key in weak else value
    return merged


def _over(old: Value | None, entry: Entry) -> Value:
    """Return a Value: the entry's value merged over the old Value, which is kept in `previous`."""
    if old is None:
        return Value(value=entry.value, origin=entry.origin)
    was = Value(value=old.value, origin=old.origin)
    return Value(value=merge(old.value, entry.value), origin=entry.origin, previous=(was, *old.previous))
