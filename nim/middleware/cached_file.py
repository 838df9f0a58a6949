"""Read a file that another process replaces, again whenever it changes."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)


class Watched(Generic[T]):
    """The parsed content of one file. A missing or broken file keeps the last good value."""

    def __init__(self, path: Path, parse: Callable[[str], T], initial: T) -> None:
        self._path = path
        self._parse = parse
        self._value = initial
        self._seen: tuple[int, int, int] | None = None

    def value(self) -> T:
        """Return the file's parsed content, read again if it changed; the last good one if that fails."""
        try:
            stat = self._path.stat()
            identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if identity != self._seen:
                self._seen = identity
                self._value = self._parse(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass  # not written yet, or already removed: the last value stays
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning('cannot read "%s": %r', self._path, error)
        return self._value
