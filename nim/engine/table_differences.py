"""Differences between two option tables, and the names that the newer one no longer has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Raw = Mapping[str, Any]

# What decides whether an argument is accepted. Help texts, defaults and hints may change freely.
_MEANING = (
    "flags",
    "negatives",
    "kind",
    "count",
    "repeats",
    "nullable",
    "choices",
    "keys",
    "limits",
    "key_limits",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Changes from one table to another, by name."""

    table: str
    installed: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, Mapping[str, tuple[Any, Any]]]
    variables_added: tuple[str, ...]
    variables_removed: tuple[str, ...]
    variables_changed: Mapping[str, tuple[Any, Any]]

    @property
    def is_empty(self) -> bool:
        """Return whether every argument and variable means the same in both."""
        options = (self.added, self.removed, self.changed)
        variables = (self.variables_added, self.variables_removed, self.variables_changed)
        return self.table == self.installed and not any((*options, *variables))


def drift_between(table: Raw, installed: Raw) -> Drift:
    """Return the differences between two parsed table files."""
    old, new = table["options"], installed["options"]
    return Drift(
        table=table["version"],
        installed=installed["version"],
        added=_only(new, old),
        removed=_only(old, new),
        changed={name: diff for name in sorted(old.keys() & new) if (diff := _changes(old[name], new[name]))},
        variables_added=_only(installed["variables"], table["variables"]),
        variables_removed=_only(table["variables"], installed["variables"]),
        variables_changed=_changed_values(table.get("variable_values", {}), installed["variable_values"]),
    )


def remembering(history: Raw, older: Raw, newer: Raw) -> dict[str, Any]:
    """Return the history plus the names that `older` has and `newer` lacks. Known replacements are kept."""
    now = _spellings(newer)
    lost = {s for s in _spellings(older) - now if s.startswith("--")}
    lost_variables = set(older["variables"]) - set(newer["variables"])
    return {
        **history,
        "releases": sorted({*history["releases"], older["version"]}, key=_release),
        "options": _with(history["options"], lost, older["version"]),
        "variables": _with(history["variables"], lost_variables, older["version"]),
    }


def _with(rows: Raw, lost: set[str], version: str) -> dict[str, Any]:
    """Return the history with the lost names added."""
    merged = {name: dict(row) for name, row in rows.items()}
    for name in lost:
        row = merged.setdefault(name, {"last_seen": version})
        row["last_seen"] = max(row["last_seen"], version, key=_release)
    return dict(sorted(merged.items()))


def _changes(old: Raw, new: Raw) -> dict[str, tuple[Any, Any]]:
    """Return the attributes of a row that differ, with old and new value."""
    return {key: (old.get(key), new.get(key)) for key in _MEANING if old.get(key) != new.get(key)}


def _changed_values(old: Raw, new: Raw) -> dict[str, tuple[Any, Any]]:
    """Return the keys of two mappings that differ, with old and new value."""
    names = sorted({*old, *new})
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _only(these: Raw, others: Raw) -> tuple[str, ...]:
    """Return the sorted keys that only the first mapping has."""
    return tuple(sorted(these.keys() - others.keys()))


def _spellings(raw: Raw) -> set[str]:
    """Return all spellings of a table's options."""
    return {s for row in raw["options"].values() for s in (*row["flags"], *row.get("negatives", ()))}


def _release(version: str) -> list[int]:
    """Return a version as a list of numbers, for comparison."""
    return [int(part) for part in version.split(".") if part.isdigit()]
