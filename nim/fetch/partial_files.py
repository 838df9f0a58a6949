"""Parts of files: the hub's client begins each anew, so one that nobody writes any more is of no use."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nim.plan import Wanted

# A download writes all the time, or times out: what nobody has touched for so long, a killed one has left.
ABANDONED_SECONDS = 3600.0
PARTIAL = ".incomplete"


def abandoned(wanted: Wanted) -> Iterator[Path]:
    """Parts of files that were left by processes which were killed: the client begins such a file anew."""
    before = time.time() - ABANDONED_SECONDS
    for path in (wanted.directory / "blobs").glob(f"*{PARTIAL}"):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                yield path


def drop_open() -> None:
    """Remove the parts of files that this process is writing, because it ends now."""
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            path = link.readlink()
            if path.name.endswith(PARTIAL):
                path.unlink()
