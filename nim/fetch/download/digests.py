"""Compute and compare digests of files: SHA-256, MD5, and the MD5 of parts that object stores use."""

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nim.fetch.sources.remote_files import Digest

SHA256, MD5, PARTS = "sha256", "md5", "md5-"
# Where the source states no digest, this one finds bytes that change on the disk, at a third of the time.
CRC32 = "crc32"
BLOCK_BYTES = 1024 * 1024
MIB = 1024 * 1024
# The sizes of parts that clients of object stores use. The right one is that which makes N parts.
PART_SIZES = (
    *(
        MIB * size
        for size in (5, 6, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 200, 250, 256, 500, 512, 1024)
    ),
    *(1000**2 * size for size in (8, 10, 16, 50, 64, 100, 128, 256, 500, 512, 1000)),
)


class Hasher:
    """The digest of a file whose bytes come in order: in the form of `like`, CRC-32 without one."""

    def __init__(self, size: int, like: Digest | None) -> None:
        self._like = like if like and is_computable(like, size) else None
        algorithm = self._like.algorithm if self._like else CRC32
        if algorithm.startswith(PARTS):
            self._hashes: list[Any] = [_PartsHash(part, algorithm) for part in _part_sizes(algorithm, size)]
        elif algorithm == CRC32:
            self._hashes = [_Crc32()]
        else:
            self._hashes = [hashlib.new(algorithm, usedforsecurity=False)]
        self._algorithm = algorithm
        self.done = 0

    def update(self, data: Any) -> None:
        """Add the next bytes of the file."""
        for one in self._hashes:
            one.update(data)
        self.done += len(data)

    @property
    def expected(self) -> Digest | None:
        """Return the source's digest, if this hasher can be compared with it."""
        return self._like

    def result(self) -> Digest:
        """Return the digest; of several part sizes that which is the source's, if one is."""
        values: list[str] = [one.hexdigest() for one in self._hashes]
        same = next((value for value in values if self._like and value == self._like.value), values[0])
        return Digest(algorithm=self._algorithm, value=same)


class _Crc32:
    """CRC-32 in the form of hashlib's objects."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Any) -> None:
        """Add bytes."""
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        """Return the eight hex digits."""
        return f"{self._value:08x}"


class _PartsHash:
    """The MD5 of the MD5s of parts of one size."""

    def __init__(self, part: int, algorithm: str) -> None:
        self._part, self._algorithm = part, algorithm
        self._whole = hashlib.md5(usedforsecurity=False)
        self._now = hashlib.md5(usedforsecurity=False)
        self._left = part

    def update(self, data: Any) -> None:
        """Add bytes, beginning a new part wherever one is full."""
        view = memoryview(data)
        while len(view) >= self._left:
            self._now.update(view[: self._left])
            self._whole.update(self._now.digest())
            view, self._left = view[self._left :], self._part
            self._now = hashlib.md5(usedforsecurity=False)
        self._now.update(view)
        self._left -= len(view)

    def hexdigest(self) -> str:
        """Return the hex digits; the last part may be shorter than the others."""
        whole = self._whole.copy()
        if self._left < self._part:
            whole.update(self._now.digest())
        return str(whole.hexdigest())


def is_computable(digest: Digest, size: int) -> bool:
    """Return whether the digest of a file of this size can be computed here."""
    if digest.algorithm.startswith(PARTS):
        return bool(_part_sizes(digest.algorithm, size))
    return digest.algorithm in (SHA256, MD5, CRC32)


def digest_of(path: Path, like: Digest | None) -> Digest:
    """Return the digest of a file on disk, in the form of `like`."""
    hasher = Hasher(path.stat().st_size, like)
    for block in _blocks(path):
        hasher.update(block)
    return hasher.result()


def parse_digest(text: str) -> Digest:
    """Return the Digest in "ALGORITHM:HEX"."""
    algorithm, _, value = text.partition(":")
    return Digest(algorithm=algorithm, value=value)


def _part_sizes(algorithm: str, size: int) -> tuple[int, ...]:
    """Return the usual sizes of parts of which a file of this size has as many as the algorithm says."""
    count = int(algorithm.removeprefix(PARTS))
    if count == 1:
        return (max(size, 1),)
    return tuple(part for part in PART_SIZES if -(-size // part) == count)


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file in blocks of 1 MiB."""
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
