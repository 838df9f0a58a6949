"""Remove from the cache what no start uses: older snapshots, abandoned downloads, models that are named."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nim.fetch.cache.cached_models import CachedModel, Damage
from nim.fetch.remove_partial_downloads import ABANDONED_SECONDS
from nim.frozen_dataclass import frozen_dataclass
from nim.models.hub.cache_snapshots import MAIN
from nim.models.remote.cache_directories import CURRENT, LOCK_FILE, PARTIAL, SNAPSHOTS


@frozen_dataclass
class Unused:
    """Something in the cache that can be removed, and why."""

    path: Path
    why: str
    used_bytes: int


def find_unused(model: CachedModel, now: float) -> Iterator[Unused]:
    """Yield what no start uses of a model; nothing of one that is being fetched at the moment."""
    if model.directory.parent.parent.name == "sources":
        with _unlocked(model.directory) as free:
            if free:
                yield from _unused_own(model.directory, now)
    else:
        yield from _unused_hub(model.directory, now)


def is_being_fetched(model: CachedModel) -> bool:
    """Return whether another process fetches the model at the moment."""
    with _unlocked(model.directory) as free:
        return not free


def remove(path: Path) -> None:
    """Remove a file or a directory."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_damaged(damage: Damage) -> None:
    """Remove a damaged file, so that the next fetch gets it: the snapshot is no longer the complete one."""
    if damage.path.parent.name == "blobs":
        damage.path.unlink(missing_ok=True)
        return
    current = next(path for path in damage.path.parents if path.name == CURRENT)
    place = current.resolve() / damage.path.relative_to(current)
    place.unlink(missing_ok=True)
    current.unlink(missing_ok=True)


def _unused_own(directory: Path, now: float) -> Iterator[Unused]:
    """Yield snapshots other than the current one, and downloads that nobody continues."""
    current = (directory / CURRENT).resolve()
    for path in sorted((directory / SNAPSHOTS).glob("*")):
        kept = current.name in (path.name, path.stem) or not (directory / CURRENT).exists()
        if not kept:
            yield Unused(path=path, why="of an older version", used_bytes=_bytes_of(path))
    partial = directory / PARTIAL
    if partial.is_dir() and _newest(partial) < now - ABANDONED_SECONDS:
        yield Unused(path=partial, why="of a download that was not continued", used_bytes=_bytes_of(partial))


def _unused_hub(directory: Path, now: float) -> Iterator[Unused]:
    """Yield the hub's snapshots that no reference names, blobs that no snapshot has, abandoned downloads."""
    named = {
        path.read_text(encoding="ascii").strip() for path in (directory / "refs").rglob("*") if path.is_file()
    }
    snapshots = [path for path in (directory / SNAPSHOTS).glob("*") if path.is_dir()]
    kept = [path for path in snapshots if not named or path.name in named]
    for path in sorted(set(snapshots) - set(kept)):
        yield Unused(path=path, why=f"no revision such as {MAIN} is this commit", used_bytes=_bytes_of(path))
    used = {link.resolve() for path in kept for link in path.rglob("*") if link.is_symlink()}
    for blob in sorted((directory / "blobs").glob("*")):
        old = blob.stat().st_mtime < now - ABANDONED_SECONDS
        if blob.resolve() not in used and old:
            partial = blob.name.endswith(".incomplete")
            why = "of a download that was not continued" if partial else "no revision has it"
            yield Unused(path=blob, why=why, used_bytes=_bytes_of(blob))


@contextmanager
def _unlocked(directory: Path) -> Iterator[bool]:
    """Yield whether nobody fetches into the directory; nobody can begin to while the block runs."""
    try:
        fd = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield True
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(fd)


def _newest(directory: Path) -> float:
    """Return the time of the last change below a directory."""
    return max((path.stat().st_mtime for path in directory.rglob("*")), default=0.0)


def _bytes_of(path: Path) -> int:
    """Return the bytes that a file or a directory takes; of links their own."""
    paths = path.rglob("*") if path.is_dir() else [path]
    return sum(one.lstat().st_blocks * 512 for one in paths)
