"""The cache directory if none is named: below the home directory, or a private one."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from nim.errors import PreflightError

_ROOT = 0


def default_cache(home: Path, runtime: str) -> tuple[Path, str | None]:
    """Return (cache below `home`, None), or (private one in /tmp, warning); or PreflightError.

    What the cache holds is executed: compiled kernels, and code that comes with models. `runtime` is the
    directory of the compiled code within it. PreflightError if the private directory is not this user's.
    """
    cache = home / ".cache" / "nim"
    why = next(_faults(cache.parent, cache, cache / runtime), None)
    if why is None:
        return cache, None
    private = Path(f"/tmp/nim-cache-{os.geteuid()}")  # noqa: S108 (checked here)  # nosec B108
    if fault := next(_faults(private, private / runtime), None):
        raise PreflightError(
            f"cannot use a cache: {why}, and {fault}",
            hint="NIM_CACHE_PATH=… a directory of this user's own",
        )
    return private, f'using the cache "{private}": {why}; NIM_CACHE_PATH=… names another'


def _faults(*directories: Path) -> Iterator[str]:
    """Yield, as text, why other users could put files into one of the directories; nothing if missing."""
    for directory in directories:
        try:
            found = directory.lstat()
        except OSError:  # the check of what the service writes to says why
            return
        if stat.S_ISLNK(found.st_mode) and found.st_uid in (os.geteuid(), _ROOT):
            found = directory.stat() if directory.exists() else found
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid not in (os.geteuid(), _ROOT):
            yield f'"{directory}" belongs to user {found.st_uid}, and this is user {os.geteuid()}'
        elif not stat.S_ISDIR(found.st_mode):
            yield f'"{directory}" is not a directory'
        elif _others_may_write(found):
            yield f'others may write in "{directory}" (mode {mode:o})'


def _others_may_write(found: os.stat_result) -> bool:
    """Return True if a user who shares no group with this one may write there, by mode."""
    ours = {os.getegid(), *os.getgroups()}
    return bool(found.st_mode & stat.S_IWOTH) or (
        bool(found.st_mode & stat.S_IWGRP) and found.st_gid not in ours
    )
