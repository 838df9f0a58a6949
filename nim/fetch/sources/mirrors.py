"""Mirrors of models: where a mirror keeps a model, and a source that asks several in turn."""

from collections.abc import Callable, Iterator, Sequence

from nim.errors import NimError
from nim.fetch.sources.remote_files import RemoteFile, Source, SourceError

_REVISIONS = {"hf": "main", "modelscope": "master"}


def mirror_uri(mirror: str, uri: str) -> str:
    """Return where a mirror keeps a model: below it by scheme, name and revision."""
    scheme, _, rest = uri.partition("://")
    if scheme in (*_REVISIONS, "ngc"):
        name, _, revision = rest.partition(":")
        rest = f"{name}/{revision or _REVISIONS.get(scheme, '')}"
    return f"{mirror}/{scheme}/{rest.replace(':', '_')}".rstrip("/")


class Mirrors:
    """The first of several sources that lists the model."""

    def __init__(
        self,
        uri: str,
        uris: Sequence[str],
        open_one: Callable[[str], Source],
        log: Callable[[str, str], None],
    ) -> None:
        self.uri, self._uris, self._open, self._log = uri, uris, open_one, log
        self._source: Source | None = None

    def files(self) -> tuple[RemoteFile, ...]:
        """Return the files of the first mirror that has any; SourceError with the last one's reason."""
        last = len(self._uris) - 1
        for number, uri in enumerate(self._uris):
            try:
                self._source = self._open(uri)
                return self._source.files()
            except (SourceError, NimError) as error:
                if number == last:
                    raise _named(uri, error) from error
                self._log("WARNING", f"{uri}: {error.message}; {self._uris[number + 1]} is asked instead")
        raise SourceError("it has no mirror")

    def read(self, file: RemoteFile, start: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes from `start` to before `end`, from the mirror that listed the file."""
        assert self._source
        return self._source.read(file, start, end)

    def states_digest(self, file: RemoteFile) -> bool:
        """Return whether the file's digest is one of its bytes."""
        assert self._source
        return self._source.states_digest(file)


def _named(uri: str, error: SourceError | NimError) -> SourceError:
    """Return the error of a mirror with the mirror's name."""
    transient = isinstance(error, SourceError) and error.transient
    return SourceError(f"{uri}: {error.message}", transient=transient, hint=error.hint)
