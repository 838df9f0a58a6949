"""Find the adapters in a source directory, with a signature that changes when their files do."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from nim.frozen_dataclass import frozen_dataclass
from nim.models.read_lora_adapters import CONFIG, WEIGHTS, adapter_directories

FILES = (CONFIG, *WEIGHTS)


@frozen_dataclass
class FoundAdapter:
    """A directory that is, or will be, an adapter. `files` are those of it that exist.

    `signature` is of their names, sizes, times and inodes. `changed_at` is the last change, in Unix seconds.
    """

    name: str
    directory: Path
    files: tuple[str, ...]
    signature: str
    changed_at: float


def scan_source(source: Path, name: str) -> tuple[FoundAdapter, ...]:
    """Return a tuple of the FoundAdapters in `source`, by name; OSError if unreadable.

    `name` is that of an adapter whose files are in the directory itself.
    """
    return tuple(look_at(one, directory) for one, directory in adapter_directories(source, name))


def look_at(name: str, directory: Path) -> FoundAdapter:
    """Return the FoundAdapter of one directory; files that cannot be looked at count as missing."""
    files = dict(_files(directory))
    identity = [(file, s.st_size, s.st_mtime_ns, s.st_ino) for file, s in files.items()]
    return FoundAdapter(
        name=name,
        directory=directory,
        files=tuple(files),
        signature=hashlib.sha256(repr((name, identity)).encode()).hexdigest()[:32],
        changed_at=max((max(s.st_mtime, s.st_ctime) for s in files.values()), default=0.0),
    )


def _files(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (name, stat result) of the adapter's regular files, links followed."""
    for name in FILES:
        try:
            found = os.stat(f"{directory}/{name}")  # noqa: PTH116 (called often)
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            yield name, found
