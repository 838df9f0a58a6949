"""Open a place that a mirror is written to: a directory or a bucket."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nim.fetch.sources.checksum_lists import CHECKSUMS
from nim.fetch.sources.open_source import open_source
from nim.fetch.write_mirror import Target

if TYPE_CHECKING:
    from nim.fetch.sources.object_stores import ObjectStore

PARTIAL = ".partial"


def open_target(uri: str, environ: Mapping[str, str]) -> Target:
    """Return the Target of an absolute directory or a URI of an object store. Nothing is written."""
    if uri.startswith("/"):
        return _DirectoryTarget(Path(uri))
    return _StoreTarget(open_source(uri, environ))


class _DirectoryTarget:
    """A directory; each file appears under its name once all of it is there."""

    def __init__(self, path: Path) -> None:
        self.uri, self._path = str(path), path

    def sizes(self) -> dict[str, int]:
        """Return {name: bytes} of the files that are there."""
        found = (path for path in self._path.rglob("*") if path.is_file())
        return {str(path.relative_to(self._path)): path.stat().st_size for path in found}

    def checksums(self) -> str:
        """Return the text of the list of checksums that is there; "" without one."""
        path = self._path / CHECKSUMS
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def put(self, name: str, path: Path) -> None:
        """Copy a file to this name."""
        place = self._path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(place.name + PARTIAL)
        shutil.copyfile(path, partial)
        partial.replace(place)

    def put_text(self, name: str, text: str) -> None:
        """Write a text to this name."""
        partial = self._path / (name + PARTIAL)
        partial.write_text(text, encoding="utf-8")
        partial.replace(self._path / name)


class _StoreTarget:
    """A directory of a bucket; the store shows an object once all of it is there."""

    def __init__(self, store: Any) -> None:
        self._store: ObjectStore = store
        self.uri = self._store.uri

    def sizes(self) -> dict[str, int]:
        """Return {name: bytes} of the objects that are there."""
        return self._store.sizes()

    def checksums(self) -> str:
        """Return the text of the list of checksums that is there; "" without one."""
        return self._store.text_if_there(CHECKSUMS)

    def put(self, name: str, path: Path) -> None:
        """Upload a file to this name, in parts where it is large."""
        self._store.put(name, path)

    def put_text(self, name: str, text: str) -> None:
        """Upload a text to this name."""
        self._store.put(name, text.encode())
