"""Differences between two option tables, and the names that the newer one no longer has."""

from collections.abc import Mapping
from typing import Any

from nim.frozen_dataclass import frozen_dataclass

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


@frozen_dataclass
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
        """Return True if version, options and variables agree; help texts and defaults may differ."""
        options = (self.added, self.removed, self.changed)
        variables = (self.variables_added, self.variables_removed, self.variables_changed)
        return self.table == self.installed and not any((*options, *variables))


def drift_between(table: Raw, installed: Raw) -> Drift:
    """Return the Drift (added, removed, changed names) from table to installed, both parsed JSON."""
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
    """Return a new history (dict), with the options and variables only `older` has added. No file access."""
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
    """Return the history rows as a new dict, with the names `lost` added, last seen in `version`."""
    merged = {name: dict(row) for name, row in rows.items()}
    for name in lost:
        row = merged.setdefault(name, {"last_seen": version})
        row["last_seen"] = max(row["last_seen"], version, key=_release)
    return dict(sorted(merged.items()))


def _changes(old: Raw, new: Raw) -> dict[str, tuple[Any, Any]]:
    """Return attribute → (old, new) for the attributes in which two rows of one option differ."""
    return {key: (old.get(key), new.get(key)) for key in _MEANING if old.get(key) != new.get(key)}


def _changed_values(old: Raw, new: Raw) -> dict[str, tuple[Any, Any]]:
    """Return key → (old, new) for the keys in which two mappings differ."""
    names = sorted({*old, *new})
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _only(these: Raw, others: Raw) -> tuple[str, ...]:
    """Return the keys that `these` has and `others` lacks, as a sorted tuple."""
    return tuple(sorted(these.keys() - others.keys()))


def _spellings(raw: Raw) -> set[str]:
    """Return the set of all spellings, --no-x included, in a parsed table."""
    return {s for row in raw["options"].values() for s in (*row["flags"], *row.get("negatives", ()))}


def _release(version: str) -> list[int]:
    """Return a version as a list of numbers, for comparison."""
    return [int(part) for part in version.split(".") if part.isdigit()]
