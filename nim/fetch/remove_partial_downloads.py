"""Find and remove partial downloads: the hub's client never resumes one after a restart."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nim.plan import Wanted

# An active download writes constantly or times out: an older partial file is from a killed process.
ABANDONED_SECONDS = 3600.0
PARTIAL = ".incomplete"


def abandoned(wanted: Wanted) -> Iterator[Path]:
    """Yield the paths of partial files not written to for an hour. Nothing is removed."""
    before = time.time() - ABANDONED_SECONDS
    for path in (wanted.directory / "blobs").glob(f"*{PARTIAL}"):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                yield path


def drop_open() -> None:
    """Delete the partial files that this process has open, because it is about to end."""
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            path = link.readlink()
            if path.name.endswith(PARTIAL):
                path.unlink()
