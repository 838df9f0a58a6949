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
    """Yield partial files left by killed processes."""
    before = time.time() - ABANDONED_SECONDS
    for path in (wanted.directory / "blobs").glob(f"*{PARTIAL}"):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                yield path


def drop_open() -> None:
    """Remove the partial files that this process is writing, because it is about to end."""
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            path = link.readlink()
            if path.name.endswith(PARTIAL):
                path.unlink()
