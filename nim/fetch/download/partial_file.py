"""A file that is being downloaded, in segments, with a record of how much of each segment is on disk.

The record is written after the bytes. Both are in the kernel's page cache when a process is killed, so a
killed download loses only what it had not written. After a crash of the machine the record may be ahead of
the bytes: the file's digest shows that, and a file without one is fetched again then.
"""

import os
import struct
from pathlib import Path
from threading import Lock

from nim.fetch.download.digests import BLOCK_BYTES, Hasher
from nim.fetch.sources.remote_files import RemoteFile, version_of
from nim.frozen_dataclass import frozen_dataclass

SEGMENT_BYTES = 128 * 1024 * 1024
RECORD_SUFFIX = ".segments"
_MAGIC = b"nim-seg1"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_HEADER = struct.Struct("<8s16s36s")
_COUNT = struct.Struct("<Q")


@frozen_dataclass
class Segment:
    """A range of a file: the bytes from `start` to before `end`."""

    number: int
    start: int
    end: int


class PartialFile:
    """A file below `partial`, with its record beside it. Used by several threads, each with own segments."""

    def __init__(self, path: Path, file: RemoteFile) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.file = path, file
        self._record_path = path.with_name(path.name + RECORD_SUFFIX)
        starts = range(0, file.size, SEGMENT_BYTES)
        self.segments = tuple(
            Segment(number=number, start=start, end=min(start + SEGMENT_BYTES, file.size))
            for number, start in enumerate(starts)
        )
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._record_fd = os.open(self._record_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._hashing, self._closing = Lock(), Lock()
        self._done = self._read_record()
        self._hasher = Hasher(file.size, file.digest)

    @property
    def have_bytes(self) -> int:
        """Return how many bytes are on disk."""
        return sum(self._done)

    @property
    def complete(self) -> bool:
        """Return whether all bytes are on disk."""
        return self.have_bytes == self.file.size

    def missing(self) -> list[Segment]:
        """Return the segments that are not complete, each from the first byte that it lacks."""
        return [
            Segment(number=one.number, start=one.start + have, end=one.end)
            for one, have in zip(self.segments, self._done, strict=True)
            if one.start + have < one.end
        ]

    def write(self, segment: Segment, at: int, data: memoryview) -> None:
        """Write bytes of a segment, then their count into the record."""
        written = 0
        while written < len(data):
            written += os.pwrite(self._fd, data[written:], at + written)
        have = at + written - self.segments[segment.number].start
        os.pwrite(self._record_fd, _COUNT.pack(have), _HEADER.size + _COUNT.size * segment.number)
        self._done[segment.number] = have

    def hash_further(self) -> None:
        """Hash what is on disk without a gap since the last time; return at once if a thread does that."""
        if not self._hashing.acquire(blocking=False):
            return
        try:
            self._hash_to(self._contiguous())
        finally:
            self._hashing.release()

    def hasher(self) -> Hasher:
        """Return the Hasher of the complete file."""
        with self._hashing:
            self._hash_to(self.file.size)
        return self._hasher

    def has_no_digest(self) -> None:
        """Hash again in this service's form: what the source states is not a digest of the bytes."""
        with self._hashing:
            self._hasher = Hasher(self.file.size, None)
            self._hash_to(self.file.size)

    def finish(self, place: Path) -> None:
        """Write the bytes to the disk, and rename the file to its own name."""
        os.ftruncate(self._fd, self.file.size)
        os.fsync(self._fd)
        place.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(place)
        self._record_path.unlink(missing_ok=True)
        self.close()

    def begin_again(self) -> None:
        """Forget all bytes: they are not those of the file."""
        self._clear()
        self._hasher = Hasher(self.file.size, self.file.digest)

    def close(self) -> None:
        """Close the files; they stay on disk."""
        with self._closing:  # a worker may be finishing the file while the others have failed
            fds, self._fd, self._record_fd = (self._fd, self._record_fd), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def _hash_to(self, end: int) -> None:
        """Hash the bytes on disk from where the hasher is up to `end`."""
        while (at := self._hasher.done) < end:
            self._hasher.update(os.pread(self._fd, min(BLOCK_BYTES, end - at), at))

    def _contiguous(self) -> int:
        """Return the number of bytes from the beginning of the file without a gap."""
        for one, have in zip(self.segments, self._done, strict=True):
            if one.start + have < one.end:
                return one.start + have
        return self.file.size

    def _read_record(self) -> list[int]:
        """Return the bytes on disk of each segment; all zero, and a new record, if it is of another file."""
        header = self._header()
        size = _HEADER.size + _COUNT.size * len(self.segments)
        data = os.pread(self._record_fd, size, 0)
        same_boot = data[: _HEADER.size] == header
        same_file = data[: _HEADER.size - 36] == header[:-36]
        usable = same_boot or (same_file and self.file.digest is not None)
        if len(data) == size and usable:
            counts = [count for (count,) in _COUNT.iter_unpack(data[_HEADER.size :])]
            on_disk = os.fstat(self._fd).st_size
            limits = zip(self.segments, counts, strict=True)
            return [max(min(have, one.end - one.start, on_disk - one.start), 0) for one, have in limits]
        return self._clear()

    def _clear(self) -> list[int]:
        """Empty the file, write a new record; return the bytes on disk of each segment: none."""
        os.ftruncate(self._record_fd, 0)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._record_fd, self._header() + bytes(_COUNT.size * len(self.segments)), 0)
        self._done = [0] * len(self.segments)
        return self._done

    def _header(self) -> bytes:
        """Return the bytes that say of which file, and of which run of the machine, the record is."""
        mark = version_of([self.file]).encode()
        return _HEADER.pack(_MAGIC, mark, _boot_id())


def _boot_id() -> bytes:
    """Return the kernel's identifier of this run of the machine; empty if unknown."""
    try:
        return _BOOT.read_bytes().strip()
    except OSError:
        return b""
