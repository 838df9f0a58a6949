"""Find the adapters in a source directory, with a signature that changes when their files do."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from nim.frozen_dataclass import frozen_dataclass
from nim.models.read_lora_adapters import CONFIG, WEIGHTS

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


def scan_source(source: Path) -> tuple[FoundAdapter, ...]:
    """Return a tuple of the FoundAdapters in the directories of `source`, by name; OSError if unreadable.

    Names that begin with a dot are left out: volumes of Kubernetes keep their versions under such names.
    """
    with os.scandir(source) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is_dir(entry))
    return tuple(look_at(name, source / name) for name in names if name.isprintable())


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


def _is_dir(entry: os.DirEntry[str]) -> bool:
    """Return whether a directory entry is a directory, links followed; False if that cannot be found out."""
    try:
        return entry.is_dir()
    except OSError:
        return False
