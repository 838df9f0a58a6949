"""Differences between a plan saved by `nim plan --json` and a new one, with the origin of each value."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nim.errors import SettingsError
from nim.read_regular_file import read_bytes


def read_plan_data(path: Path) -> dict[str, Any]:
    """Return a dict (profile, config, engine) read from a `nim plan --json` file; or SettingsError."""
    try:
        data = json.loads(read_bytes(path))
        return {"profile": data["profile"], "config": data["config"], "engine": data["engine"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"cannot read '{path}' as a plan: {error}"
        raise SettingsError(message, hint=f"nim plan --json > '{path}'") from None


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return text with a line for each value that differs between plans, or "no difference"."""
    lines = []
    if old["profile"]["id"] != new["profile"]["id"]:
        lines.append(f"profile: {old['profile']['label']} → {new['profile']['label']}")
    before, after = old["config"], new["config"]
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if _value(was) != _value(now):
            lines.append(f"{name}: {_with_origin(was)} → {_with_origin(now)}")
    if old["engine"]["argv"][:2] != new["engine"]["argv"][:2]:
        lines.append(f"engine: {' '.join(old['engine']['argv'][:2])} → {' '.join(new['engine']['argv'][:2])}")
    return "\n".join(lines or ["no difference"]) + "\n"


def _value(entry: Mapping[str, Any] | None) -> str:
    """Return an entry's value as JSON text, or "unset" for None."""
    return "unset" if entry is None else json.dumps(entry["value"], ensure_ascii=False, sort_keys=True)


def _with_origin(entry: Mapping[str, Any] | None) -> str:
    """Return an entry's value and origin as text, or "unset" for None."""
    return "unset" if entry is None else f"{_value(entry)} ({entry['source']}: {entry['place']})"
