"""The command that downloads a directory's files again, from where they came from."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.models.hub.cache_snapshots import MAIN, commit_of, hub_repository

REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
STORE_NOTE = ".model-store.json"


@frozen_dataclass
class Origin:
    """`download` is the command that fetches missing files; existing ones stay unchanged."""

    download: str

    def again(self, path: Path) -> str:
        """Return the shell command that deletes one file (its target if a link) and downloads it again."""
        return f"rm '{path.resolve()}' && {self.download}"


def origin_of(directory: Path, config: Mapping[str, Any] | None = None) -> Origin:
    """Return where a directory came from, by `nim store`'s record, hub cache, .git or config; never None."""
    stored = _stored(directory)
    if stored.startswith("hf://"):
        return Origin(download=f"nim store --model-repo {stored} -m '{directory}'")
    if cached := _cached(directory):
        return Origin(download=cached)
    if (directory / ".git").exists():
        return Origin(download=f"git -C '{directory}' pull && git -C '{directory}' lfs pull")
    named = str((config or {}).get("_name_or_path") or "")
    repository = named if REPOSITORY.fullmatch(named) else "ORG/NAME"
    return Origin(download=f"hf download {repository} --local-dir '{directory}'")


def _cached(snapshot: Path) -> str | None:
    """Return the `nim fetch` command that completes a hub cache snapshot; None for other directories."""
    if snapshot.parent.name != "snapshots" or not (repository := hub_repository(snapshot.parent.parent)):
        return None
    directory = snapshot.parent.parent
    revision = "" if commit_of(directory, MAIN) == snapshot.name else f":{snapshot.name}"
    return f"HF_HUB_CACHE='{directory.parent}' nim fetch --model-uri hf://{repository}{revision}"


def _stored(directory: Path) -> str:
    """Return the source in the directory's `nim store` record file; "" without a readable record."""
    try:
        return str(json.loads((directory / STORE_NOTE).read_bytes())["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
