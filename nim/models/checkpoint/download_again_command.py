"""Find the repository that a directory's files came from, and the command that downloads them again."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
STORE_NOTE = ".model-store.json"
MAIN = "main"
_HUB_DIRECTORY = re.compile(r"models--(\w[\w.-]*?)--(\w[\w.-]*)", re.ASCII)
_GGUF_BASE = b"general.base_model.0.repo_url"
_GGUF_HEAD_BYTES = 65_536
_HUB = "https://huggingface.co/"


@dataclass(frozen=True, slots=True, kw_only=True)
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


def hub_repository(directory: Path) -> str | None:
    """Return "org/name" from a hub cache directory's name (models--org--name); None for other names."""
    found = _HUB_DIRECTORY.fullmatch(directory.name)
    return f"{found[1]}/{found[2]}" if found else None


def gguf_base(path: Path) -> str | None:
    """Read a GGUF file's metadata and return the "org/name" it was converted from; None if unknown."""
    with suppress(OSError), path.open("rb") as file:
        _, key, rest = file.read(_GGUF_HEAD_BYTES).partition(_GGUF_BASE)
        # A value is its type (4 bytes), its length (8 bytes), its text.
        length = int.from_bytes(rest[4:12], "little")
        url = rest[12 : 12 + length].decode("utf-8", "replace") if key else ""
        repository = url.removeprefix(_HUB)
        return repository if url.startswith(_HUB) and REPOSITORY.fullmatch(repository) else None
    return None


def snapshots_of(directory: Path) -> Iterator[Path]:
    """Yield the snapshot paths in a repository's hub cache directory: `main`'s first, then the newest."""
    if commit := _commit(directory, MAIN):
        yield directory / "snapshots" / commit
    with suppress(OSError):
        found = [path for path in (directory / "snapshots").iterdir() if path.is_dir()]
        yield from sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def find_snapshot(directory: Path, revision: str | None) -> Path | None:
    """Return the snapshot path of a revision (None: main) in a repository's cache; None if not cached."""
    name = revision or MAIN
    snapshot = directory / "snapshots" / (_commit(directory, name) or name)
    return snapshot if snapshot.is_dir() else None


def _commit(directory: Path, name: str) -> str | None:
    """Return the commit hash in the hub cache's refs/`name`; None if it or its snapshot does not exist."""
    with suppress(OSError, ValueError):
        commit = (directory / "refs" / name).read_text(encoding="ascii").strip()
        return commit if commit and (directory / "snapshots" / commit).is_dir() else None
    return None


def _cached(snapshot: Path) -> str | None:
    """Return the `nim fetch` command that completes a hub cache snapshot; None for other directories."""
    if snapshot.parent.name != "snapshots" or not (repository := hub_repository(snapshot.parent.parent)):
        return None
    directory = snapshot.parent.parent
    revision = "" if _commit(directory, MAIN) == snapshot.name else f":{snapshot.name}"
    return f"HF_HUB_CACHE='{directory.parent}' nim fetch --model-uri hf://{repository}{revision}"


def _stored(directory: Path) -> str:
    """Return the source in the directory's `nim store` record file; "" without a readable record."""
    try:
        return str(json.loads((directory / STORE_NOTE).read_bytes())["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
