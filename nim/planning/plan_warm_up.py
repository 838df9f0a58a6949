"""Decide which requests are sent through the engine before the service is ready."""

import json
from collections.abc import Mapping
from pathlib import Path

from nim.errors import SettingsError
from nim.plan import MOST_PREFIX_BYTES, WarmUp
from nim.read_regular_file import read_bytes
from nim.settings import Settings
from nim.value_origins import Value

FILE_VARIABLE = "NIM_WARM_UP_FILE"
HINT = 'one JSON value per line: "You are …", or [{"role": "system", "content": "You are …"}]'


def warm_up_of(settings: Settings, config: Mapping[str, Value], model: str) -> WarmUp | None:
    """Return the WarmUp, None if it is turned off; SettingsError for a file that is not lines of prefixes."""
    if not settings.warm_up_timeout:
        return None
    if settings.warm_up_file:
        check_prefixes(Path(settings.warm_up_file))
    names = config["served_model_name"].value if "served_model_name" in config else None
    return WarmUp(
        seconds=settings.warm_up_timeout,
        model=str(names[0]) if isinstance(names, list | tuple) and names else model,
        file=settings.warm_up_file,
    )


def check_prefixes(file: Path) -> None:
    """Raise SettingsError unless every line of the file is empty, a JSON string or a JSON list of objects."""
    try:
        lines = read_bytes(file, MOST_PREFIX_BYTES).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read '{file}' ({FILE_VARIABLE}): {error}", hint=HINT) from None
    for number, line in enumerate(lines, 1):
        if line.strip() and not _is_prefix(line):
            where = f"line {number} of '{file}' ({FILE_VARIABLE})"
            raise SettingsError(f"cannot use {where}: no JSON string, no list of messages", hint=HINT)


def _is_prefix(line: str) -> bool:
    """Return whether the line is JSON of a string, or of a list of objects that is not empty."""
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
    )
