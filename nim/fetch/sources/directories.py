"""A directory of files as a source, such as a mirror on a shared volume."""

from collections.abc import Iterator
from pathlib import Path

from nim.fetch.sources.checksum_lists import CHECKSUMS, read_checksums, with_checksums
from nim.fetch.sources.remote_files import RemoteFile, SourceChanged, SourceError

BLOCK_BYTES = 1024 * 1024


class Directory:
    """A directory on this machine; its SHA256SUMS file states the digests."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._path = Path(uri)

    def files(self) -> tuple[RemoteFile, ...]:
        """Return the files in the directory and below it."""
        if not self._path.is_dir():
            raise SourceError(f"there is no directory '{self.uri}'", hint=f"ls '{self._path.parent}'")
        try:
            found = [self._file(path) for path in sorted(self._path.rglob("*")) if path.is_file()]
            sums = self._path / CHECKSUMS
            text = sums.read_text(encoding="utf-8", errors="replace") if sums.is_file() else ""
        except OSError as error:
            raise SourceError(f"'{error.filename}' cannot be read: {error.strerror}") from error
        return with_checksums(found, read_checksums(text))

    def read(self, file: RemoteFile, start: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes from `start` to before `end`."""
        try:
            with (self._path / file.name).open("rb") as opened:
                opened.seek(start)
                while start < end:
                    block = opened.read(min(BLOCK_BYTES, end - start))
                    if not block:
                        raise SourceChanged(f"{file.name} is shorter than it was")
                    yield memoryview(block)
                    start += len(block)
        except OSError as error:
            raise SourceError(f"'{file.name}' cannot be read: {error.strerror}") from error

    def states_digest(self, file: RemoteFile) -> bool:  # noqa: ARG002 (the interface's)
        """Return True: digests come from the list of checksums."""
        return True

    def _file(self, path: Path) -> RemoteFile:
        """Return a file with its size; its tag is the time of its last change."""
        found = path.stat()
        name = str(path.relative_to(self._path))
        return RemoteFile(name=name, size=found.st_size, tag=str(found.st_mtime_ns))
