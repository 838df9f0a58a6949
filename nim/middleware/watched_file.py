"""A file that another process replaces: read again when it changed, its last good value kept."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)


class Watched(Generic[T]):
    """The parsed content of one file. An absent or broken file leaves the value as it was."""

    def __init__(self, path: Path, parse: Callable[[str], T], initial: T) -> None:
        self._path = path
        self._parse = parse
        self._value = initial
        self._seen: tuple[int, int, int] | None = None

    def value(self) -> T:
        """The newest good value."""
        try:
            stat = self._path.stat()
            identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if identity != self._seen:
                self._seen = identity
                self._value = self._parse(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass  # not written yet, or already cleared away: what was last known still holds
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning('cannot read "%s": %r', self._path, error)
        return self._value
