"""Read `runtime_config.json` from a model's directory, and find other files in it by name."""

import json
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass
from nim.read_regular_file import read_bytes

RUNTIME_CONFIG = "runtime_config.json"
RESERVED = "NIM_PASSTHROUGH_ARGS"


@frozen_dataclass
class RuntimeConfig:
    """Engine options by name, and the flags under the reserved key, which the options override."""

    place: str
    options: Mapping[str, Any] = field(default_factory=dict)
    passthrough: str = ""


def read_runtime_config(directory: Path) -> RuntimeConfig:
    """Return the directory's file as `RuntimeConfig`; no options if missing, SettingsError if broken."""
    path = directory / RUNTIME_CONFIG
    if not path.is_file():
        return RuntimeConfig(place=str(path))
    try:
        values = json.loads(read_bytes(path))
        if not isinstance(values, dict):
            raise ValueError("it is not a JSON object")
        passthrough = values.pop(RESERVED, "")
        if not isinstance(passthrough, str):
            raise ValueError(f"{RESERVED} must be text")
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read '{path}': {error}", hint=f"python3 -m json.tool {path}") from None
    return RuntimeConfig(place=str(path), options=values, passthrough=passthrough)


def find_beside(directory: Path, name: str) -> str | None:
    """Return the absolute path of a file in the model's directory; None if it does not exist."""
    path = directory / name
    return str(path.absolute()) if name and not Path(name).is_absolute() and path.is_file() else None
