"""Directories of fetched models in the cache: `sources/SCHEME/NAME-DIGEST/{current,snapshots,partial}`.

A snapshot holds real files. `current` is a relative link to the one that is complete, so that the cache can
be moved, copied and mounted elsewhere.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.models.remote.uris import name_of

SOURCES = "sources"
CURRENT, SNAPSHOTS, PARTIAL = "current", "snapshots", "partial"
LOCK_FILE, PROGRESS_FILE = "lock", "progress.json"
_LONGEST_NAME = 80
_DIGEST_DIGITS = 12
_UNUSUAL = re.compile(r"[^\w.-]+", re.ASCII)


@frozen_dataclass
class CachedFile:
    """A file of a snapshot. `digest` is "ALGORITHM:HEX", computed here in the form that the source has.

    `by_source`: it was compared with the source's.
    """

    size: int
    digest: str
    by_source: bool


@frozen_dataclass
class SnapshotRecord:
    """What a snapshot is of: the URI, all names at the source, and the files that were fetched."""

    uri: str
    version: str
    listed: tuple[str, ...]
    files: Mapping[str, CachedFile]

    def to_json(self) -> str:
        """Return the record as the text of one JSON object, readable by `read_record`."""
        files = {
            name: {"size": one.size, "digest": one.digest, "by_source": one.by_source}
            for name, one in self.files.items()
        }
        data = {"uri": self.uri, "version": self.version, "listed": list(self.listed), "files": files}
        return json.dumps(data, indent=1) + "\n"


def directory_of(cache_dir: str | Path, uri: str) -> Path:
    """Return the cache directory of a remote model: its name for people, and a digest of its URI."""
    scheme = uri.partition("://")[0]
    name = _UNUSUAL.sub("--", name_of(uri))[-_LONGEST_NAME:].strip(".-") or "model"
    digest = hashlib.sha256(uri.encode()).hexdigest()[:_DIGEST_DIGITS]
    return Path(cache_dir) / SOURCES / scheme / f"{name}-{digest}"


def find_current(directory: Path) -> Path | None:
    """Return `current` in a model's cache directory; None if no snapshot is complete there."""
    current = directory / CURRENT
    return current if current.is_dir() else None


def record_path(directory: Path, version: str) -> Path:
    """Return the path of the record of a snapshot."""
    return directory / SNAPSHOTS / f"{version}.json"


def read_record(directory: Path) -> SnapshotRecord | None:
    """Return the SnapshotRecord of the complete snapshot; None if there is none or it is unreadable."""
    with suppress(OSError):
        return read_record_of(directory, (directory / CURRENT).readlink().name)
    return None


def read_record_of(directory: Path, version: str) -> SnapshotRecord | None:
    """Return the SnapshotRecord of a version; None if there is none or it is unreadable."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        data: dict[str, Any] = json.loads(record_path(directory, version).read_bytes())
        files = {name: CachedFile(**one) for name, one in data["files"].items()}
        return SnapshotRecord(
            uri=data["uri"], version=data["version"], listed=tuple(data["listed"]), files=files
        )
    return None


def all_directories(cache_dir: str | Path) -> tuple[Path, ...]:
    """Return the directories of all models that the service has fetched, or begun to."""
    found = (path for path in (Path(cache_dir) / SOURCES).glob("*/*") if path.is_dir())
    return tuple(sorted(found))
