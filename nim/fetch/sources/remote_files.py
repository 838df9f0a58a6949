"""The interface of a source: files with sizes and digests, and ranges of their bytes."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from nim.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Digest:
    """A digest that the source states: `sha256`, `md5`, or `md5-N`, the MD5 of the MD5s of N parts."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@frozen_dataclass
class RemoteFile:
    """A file at a source. `tag` changes when the file does; None where the source has no such thing."""

    name: str
    size: int
    digest: Digest | None = None
    tag: str | None = None


class Source(Protocol):
    """Where a model's files are. All methods raise SourceError."""

    uri: str

    def files(self) -> tuple[RemoteFile, ...]:
        """Return all files below the source's directory, by name."""

    def read(self, file: RemoteFile, start: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes from `start` to before `end`, as they arrive."""

    def states_digest(self, file: RemoteFile) -> bool:
        """Return whether the file's digest is one of its bytes; asked only if it is not that of what came."""


class SourceError(Exception):
    """A source did not do what was asked. `transient`: the same request may succeed later."""

    def __init__(self, message: str, *, transient: bool = False, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.transient, self.hint = message, transient, hint


class SourceOutOfReach(SourceError):
    """Nothing can be asked of the source: its name is not known, or a certificate or proxy is refused."""


class SourceChanged(SourceError):
    """A file at the source is not the one that was listed."""


class SourceDenied(SourceError):
    """The source refuses these credentials, or asks for some."""


def version_of(files: Sequence[RemoteFile]) -> str:
    """Return 16 hex digits that change when any file at the source changes."""
    found = hashlib.sha256()
    for file in sorted(files, key=lambda one: one.name):
        mark = str(file.digest) if file.digest else file.tag or ""
        found.update(f"{file.name}\0{file.size}\0{mark}\n".encode())
    return found.hexdigest()[:16]
