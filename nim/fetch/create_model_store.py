"""Write a model as a plain directory of real files, which can be served by its path, moved and mounted.

`config.json` is written last: no engine accepts a directory without it, so an incomplete store is never
served.
"""

import errno
import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path

from nim.errors import PreflightError, SettingsError
from nim.fetch.format_size import format_size
from nim.frozen_dataclass import frozen_dataclass

NOTE = ".model-store.json"
# The files that make a directory a model.
MODEL_FILES = ("config.json", "params.json")
PARTIAL = ".partial"
ANOTHER = "--model-store … a directory that is empty, or not there yet"


@frozen_dataclass
class Note:
    """The record in a store: what it holds, and whether it is complete. `commit` is the hub's."""

    source: str
    commit: str | None
    complete: bool


def make_store(
    directory: Path, files: Mapping[str, Path], note: Note, links: Collection[str] = ()
) -> tuple[int, int]:
    """Copy or hard-link the files into the store; return (number added, of those hard links).

    The files in `links` may be hard links to the originals: editing one of those edits the original.
    """
    found = check_store(directory, note, next(iter(files.values()), None))
    if found and found.complete and all(_same_size(directory / name, path) for name, path in files.items()):
        return 0, 0
    _check_room(directory, files, links)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in MODEL_FILES:
            (directory / name).unlink(missing_ok=True)
        _write(directory, Note(source=note.source, commit=note.commit, complete=False))
        order = sorted(files, key=lambda name: (name in MODEL_FILES, name))
        added = [
            _add(files[name], directory / name, may_link=name in links)
            for name in order
            if not _same_size(directory / name, files[name])
        ]
        _write(directory, note)
    except OSError as error:
        raise _refusal(directory, error) from error
    return len(added), sum(added)


def check_store(directory: Path, note: Note, origin: Path | None = None) -> Note | None:
    """Return the Note of an existing store; None for no or an empty directory, SettingsError for others.

    A directory counts as empty if it has only the cache that `origin` is in: jobs of the NIM operator have
    one volume for both.
    """
    if directory.exists() and not directory.is_dir():
        raise SettingsError(f"cannot make a store in '{directory}': it is no directory", hint=ANOTHER)
    try:
        if not directory.exists() or not any(_counts(path, origin) for path in directory.iterdir()):
            return None
    except OSError as error:
        raise _refusal(directory, error) from error
    found = _read(directory)
    if found is None:
        message = f"cannot make a store in '{directory}': it is not empty, and no store"
        raise SettingsError(message, hint=ANOTHER)
    if (found.source, found.commit) != (note.source, note.commit):
        raise SettingsError(
            f"cannot make a store of {_named(note)} in '{directory}': it is one of {_named(found)}",
            hint="--model-store … another directory",
        )
    return found


def _counts(path: Path, origin: Path | None) -> bool:
    """Return whether an entry of a directory means that it is in use."""
    holds_origin = origin is not None and origin.resolve().is_relative_to(path.resolve())
    return path.name != "lost+found" and not holds_origin


def _named(note: Note) -> str:
    """Return a note's source with its commit as text."""
    return note.source + (f" ({note.commit[:12]})" if note.commit else "")


def _read(directory: Path) -> Note | None:
    """Return the Note in a store's record file; None if there is none or it is unreadable."""
    try:
        return Note(**json.loads((directory / NOTE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _write(directory: Path, note: Note) -> None:
    """Write the Note to the store's record file atomically."""
    partial = directory / (NOTE + PARTIAL)
    partial.write_text(json.dumps(asdict(note)) + "\n", encoding="utf-8")
    partial.replace(directory / NOTE)


def _add(origin: Path, place: Path, *, may_link: bool) -> bool:
    """Copy or hard-link one file under a temporary name, then rename it; return whether it is a link."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(place.name + PARTIAL)
    partial.unlink(missing_ok=True)
    linked = may_link and _link(origin.resolve(), partial)
    if not linked:
        shutil.copyfile(origin, partial)
    partial.replace(place)
    return linked


def _link(origin: Path, place: Path) -> bool:
    """Create a hard link; return False where the file systems do not allow it, OSError for a full disk."""
    try:
        place.hardlink_to(origin)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        return False
    return True


def _same_size(place: Path, origin: Path) -> bool:
    """Return whether the file `place` exists with the size of `origin`."""
    return place.is_file() and place.stat().st_size == origin.stat().st_size


def _check_room(directory: Path, files: Mapping[str, Path], links: Collection[str]) -> None:
    """Raise PreflightError if the files to be copied do not fit on the disk; links take no space."""
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    device = there.stat().st_dev
    need = sum(
        path.stat().st_size
        for name, path in files.items()
        if (name not in links or path.stat().st_dev != device) and not _same_size(directory / name, path)
    )
    free = shutil.disk_usage(there).free
    if need > free:
        raise PreflightError(
            f"cannot make a store in '{directory}': {format_size(need)} are to be copied, and it has "
            f"{format_size(free)} free",
            hint=f"df -h '{there}', or on the disk of the cache, where links to its weights take no space",
        )


def _refusal(directory: Path, error: OSError) -> PreflightError:
    """Return the PreflightError for a store that cannot be written."""
    user = f"{os.geteuid()}:{os.getegid()}"
    hint = f"df -h '{directory}'"
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = f"chown {user} '{directory}'"
    elif error.errno == errno.ENOTDIR:
        hint = ANOTHER
    return PreflightError(
        f"cannot make a store in '{directory}': {error.strerror}, as user {user}", hint=hint
    )
