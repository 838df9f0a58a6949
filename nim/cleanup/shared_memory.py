"""Record, find and remove shared-memory segments of a killed engine without touching those of others.

The record of mapped segments is kept beside them, so that it lasts as long as they do: a restarted container
has a new /tmp but the same /dev/shm of the pod. The service holds its lock.
"""

import fcntl
import json
import os
import stat
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nim.cleanup.read_and_watch_processes import all_processes

SHM = Path("/dev/shm")  # noqa: S108 (only a file of our own is created there)  # nosec B108
MOST_SEGMENTS = 4096

Segments = Mapping[str, int]
"""Names in the directory with their inodes: a name reused by another file is not ours."""


class Record:
    """The segments of one service's engine, recorded in a locked file."""

    def __init__(self, run_dir: Path, directory: Path = SHM) -> None:
        self.directory = directory
        name = f"nim-{os.geteuid()}-{zlib.crc32(os.fsencode(run_dir)):08x}.json"
        self._path = directory / name
        self._fd = -1

    @property
    def held(self) -> bool:
        """Return whether the record's file is open and locked by this object."""
        return self._fd >= 0

    def open(self, *, create: bool) -> bool:
        """Open and lock the record's file; False if locked, not private or (without `create`) missing."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
        with suppress(OSError):
            fd = os.open(self._path, flags, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                    raise PermissionError
                self._fd = fd
            except OSError:
                os.close(fd)
        return self.held

    def read(self) -> Segments:
        """Return {name: inode} of the segments recorded last; empty if unreadable."""
        with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
            data: dict[str, Any] = json.loads(os.pread(self._fd, 1 << 20, 0).partition(b"\n")[0])
            return {name: int(inode) for name, inode in data.items() if "/" not in name}
        return {}

    def write(self, segments: Segments) -> None:
        """Write the segments to the open record as one line of JSON; errors are ignored."""
        text = json.dumps(segments).encode() + b"\n"
        with suppress(OSError):
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))

    def close(self, *, remove: bool) -> None:
        """Close the record's file, which unlocks it, and with `remove` delete it."""
        if self.held:
            if remove:
                self._path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1


def listed(directory: Path) -> dict[str, int]:
    """Return {name: inode} of this user's regular files in the directory, at most 4096."""
    found: dict[str, int] = {}
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid():
                    found[entry.name] = about.st_ino
            if len(found) >= MOST_SEGMENTS:
                break
    return found


def mapped(pids: Iterable[int], directory: Path) -> set[int]:
    """Return the set of inodes in the directory that these processes have mapped, by /proc/PID/maps."""
    device, place = directory.stat().st_dev, f"{directory}/"
    known = f"{os.major(device):02x}:{os.minor(device):02x}"
    found: set[int] = set()
    for pid in pids:
        with suppress(OSError), open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:  # noqa: PTH123
            for line in maps:
                if place in line and len(fields := line.split(None, 5)) == 6 and fields[3] == known:
                    found.add(int(fields[4]))
    return found


def in_use(directory: Path) -> set[int]:
    """Return the set of inodes in the directory that any process has mapped or open."""
    pids = tuple(all_processes())
    found = mapped(pids, directory)
    for pid in pids:
        with suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                found |= _opened(link, f"{directory}/")
    return found


def _opened(link: Path, place: str) -> set[int]:
    """Return {inode} of the file behind a descriptor link if it is in the directory, else an empty set."""
    with suppress(OSError):
        if str(link.readlink()).startswith(place):
            return {link.stat().st_ino}
    return set()


def sweep(segments: Segments, directory: Path) -> tuple[list[str], int]:
    """Delete the segments that still exist and are unused; return (their names, total bytes)."""
    present = listed(directory)
    left = {name: inode for name, inode in segments.items() if present.get(name) == inode}
    if not left:
        return [], 0
    used = in_use(directory)
    gone, size = list[str](), 0
    for name in sorted(left):
        with suppress(OSError):
            about = (directory / name).lstat()
            if about.st_ino == left[name] and about.st_ino not in used:
                (directory / name).unlink()
                gone.append(name)
                size += about.st_blocks * 512
    return gone, size
