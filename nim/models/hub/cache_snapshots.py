"""Snapshots of repositories in the hub's cache: `models--org--name/snapshots/COMMIT`."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MAIN = "main"
_HUB_DIRECTORY = re.compile(r"models--(\w[\w.-]*?)--(\w[\w.-]*)", re.ASCII)


def hub_repository(directory: Path) -> str | None:
    """Return "org/name" from a hub cache directory's name (models--org--name); None for other names."""
    found = _HUB_DIRECTORY.fullmatch(directory.name)
    return f"{found[1]}/{found[2]}" if found else None


def snapshots_of(directory: Path) -> Iterator[Path]:
    """Yield the snapshot paths in a repository's hub cache directory: `main`'s first, then the newest."""
    if commit := commit_of(directory, MAIN):
        yield directory / "snapshots" / commit
    with suppress(OSError):
        found = [path for path in (directory / "snapshots").iterdir() if path.is_dir()]
        yield from sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def find_snapshot(directory: Path, revision: str | None) -> Path | None:
    """Return the snapshot path of a revision (None: main) in a repository's cache; None if not cached."""
    name = revision or MAIN
    snapshot = directory / "snapshots" / (commit_of(directory, name) or name)
    return snapshot if snapshot.is_dir() else None


def commit_of(directory: Path, name: str) -> str | None:
    """Return the commit hash in the hub cache's refs/`name`; None if it or its snapshot does not exist."""
    with suppress(OSError, ValueError):
        commit = (directory / "refs" / name).read_text(encoding="ascii").strip()
        return commit if commit and (directory / "snapshots" / commit).is_dir() else None
    return None
