"""What a model's own directory says: `config.json`, and `runtime_config.json` where there is one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nim.errors import SettingsError, WeightsError

MODEL_FILES = ("config.json", "params.json")
# The engine loads the first kind that is there.
WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")
RUNTIME_CONFIG = "runtime_config.json"
RESERVED = "NIM_PASSTHROUGH_ARGS"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """Engine options by name, and the flags under the reserved key, which the options override."""

    place: str
    options: Mapping[str, Any] = field(default_factory=dict)
    passthrough: str = ""


def read_model_config(directory: Path, place: str) -> dict[str, Any]:
    """The model's `config.json`. A directory without one is refused: it is not a model."""
    if not directory.is_dir():
        what = "it is not a directory" if directory.exists() else "there is no such directory"
        raise WeightsError(
            f"cannot use '{directory}' (from {place}): {what}",
            hint="NIM_MODEL_PATH=hf://org/name, or the path as the container sees it",
        )
    found = next((directory / name for name in MODEL_FILES if (directory / name).is_file()), None)
    if found is None:
        raise WeightsError(
            f"cannot use '{directory}' (from {place}): it has no config.json",
            hint=f"ls {directory}: the directory must hold the model's files themselves",
        )
    try:
        return _object(found)
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read '{found}': {error}", hint="download the model again") from None


def read_runtime_config(directory: Path) -> RuntimeConfig:
    """The model's `runtime_config.json`; empty where there is none."""
    path = directory / RUNTIME_CONFIG
    if not path.is_file():
        return RuntimeConfig(place=str(path))
    try:
        values = _object(path)
        passthrough = values.pop(RESERVED, "")
        if not isinstance(passthrough, str):
            raise ValueError(f"{RESERVED} must be text")
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read '{path}': {error}", hint=f"python3 -m json.tool {path}") from None
    return RuntimeConfig(place=str(path), options=values, passthrough=passthrough)


def find_beside(directory: Path, name: str) -> str | None:
    """A file that is named relative to the model's directory, absolute; None where it is not that."""
    path = directory / name
    return str(path.absolute()) if name and not Path(name).is_absolute() and path.is_file() else None


def weights_bytes(directory: Path) -> int | None:
    """The size of the weight files; None where there is none that we know."""
    for pattern in WEIGHTS:
        files = list(directory.glob(pattern))
        if files:
            return sum(file.stat().st_size for file in files)
    return None


def index_of(file: Path) -> tuple[str, ...]:
    """The weights that an index of them names."""
    try:
        return tuple(sorted({str(name) for name in _object(file)["weight_map"].values()}))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"cannot read '{file}': {error!r}", hint="download the model again") from None


def _object(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_bytes())
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    return values
