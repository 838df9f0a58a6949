"""Private copies of adapters: what the engine reads again later cannot change or vanish.

vLLM reads an adapter's files again whenever it has put it out of memory, inside its main loop: a missing or
half-written file there would end the engine.
"""

import os
import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from nim.middleware.adapters.scan_source import FoundAdapter, look_at

# Requests that began with an adapter may be in the engine's queue for so long after it is unloaded.
KEPT_SECONDS = 3600.0


class ChangedMeanwhile(Exception):
    """The files changed while they were copied."""


class Copies:
    """The copies in one directory, each under the signature of its source."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, found: FoundAdapter) -> Path:
        """Return the path at which the copy of an adapter is, or would be."""
        return self._directory / found.signature

    def has(self, path: str) -> bool:
        """Return whether a path, as the engine lists it, is that of a copy of ours."""
        return Path(path).parent == self._directory

    def make(self, found: FoundAdapter) -> Path:
        """Copy an adapter's files unless that is done, return the copy's path; ChangedMeanwhile, OSError."""
        path = self.path(found)
        if path.is_dir():
            os.utime(path)
            return path
        fresh = path.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700, parents=True)
        try:
            for name in found.files:
                shutil.copyfile(found.directory / name, fresh / name)
            if look_at(found.name, found.directory).signature != found.signature:
                raise ChangedMeanwhile
            fresh.rename(path)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        return path

    def remove_unused(self, used: Collection[str]) -> None:
        """Remove the copies that have not been in `used` (paths) for an hour."""
        with suppress(OSError):
            for path in self._directory.iterdir():
                if str(path) in used:
                    os.utime(path)
                elif time.time() - path.stat().st_mtime > KEPT_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
