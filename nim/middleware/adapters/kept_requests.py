"""What people asked for through the adapter routes, kept over restarts of the management service."""

import json
from contextlib import suppress
from pathlib import Path

from nim.middleware.adapters.scan_source import FoundAdapter, look_at


class Choices:
    """Adapters under names of their own, and adapters of the source that shall not be served."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.added: dict[str, str] = {}
        self.removed: set[str] = set()
        with suppress(OSError, ValueError, KeyError):
            kept = json.loads(file.read_text(encoding="utf-8"))
            self.added, self.removed = dict(kept["added"]), set(kept["removed"])

    def add(self, name: str, directory: Path, source: Path) -> None:
        """Have a directory served under a name."""
        self.removed.discard(name)
        self.added.pop(name, None)
        if directory != source / name:
            self.added[name] = str(directory)
        self._write()

    def remove(self, name: str) -> None:
        """Have an adapter not served."""
        self.added.pop(name, None)
        self.removed.add(name)
        self._write()

    def apply(self, found: tuple[FoundAdapter, ...]) -> tuple[FoundAdapter, ...]:
        """Return the adapters that are wanted, given those of the source, by name."""
        wanted = {one.name: one for one in found if one.name not in self.removed}
        wanted |= {name: look_at(name, Path(directory)) for name, directory in self.added.items()}
        return tuple(wanted[name] for name in sorted(wanted))

    def _write(self) -> None:
        """Write the choices to their file."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps({"added": self.added, "removed": sorted(self.removed)})
        fresh = self._file.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self._file)
