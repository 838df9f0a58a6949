"""List and verify the models in the cache: those of the service's own downloader, and those of the hub."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from nim.fetch.download.digests import digest_of, parse_digest
from nim.frozen_dataclass import frozen_dataclass
from nim.models.hub.cache_snapshots import MAIN, commit_of, hub_repository, snapshots_of
from nim.models.remote.cache_directories import (
    CURRENT,
    PARTIAL,
    SNAPSHOTS,
    SnapshotRecord,
    all_directories,
    read_record,
    read_record_of,
)

_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_BLOCK_BYTES = 1024 * 1024


@frozen_dataclass
class CachedModel:
    """A model in the cache. `version` is None if no revision of it is complete, as far as one can see.

    `used_bytes` is what its directory takes on the disk, with older revisions and partial downloads.
    """

    uri: str
    directory: Path
    version: str | None
    files: int
    total_bytes: int
    used_bytes: int


@frozen_dataclass
class Damage:
    """A file whose bytes are not those of its digest, or that is missing (`found` is None)."""

    uri: str
    path: Path
    expected: str
    found: str | None


def list_models(cache_dir: Path, hub_cache: Path) -> tuple[CachedModel, ...]:
    """Return the models in the cache, by URI."""
    own = (_own(directory) for directory in all_directories(cache_dir))
    hub = (_of_hub(directory) for directory in sorted(hub_cache.glob("models--*")))
    return tuple(sorted((*filter(None, own), *filter(None, hub)), key=lambda model: model.uri))


def verify_model(model: CachedModel) -> Iterator[tuple[Path, Damage | None]]:
    """Yield (path, Damage or None) for each file of a model, after reading it."""
    if model.directory.parent.parent.name == "sources":
        yield from _verify_own(model)
    else:
        yield from _verify_hub(model)


def _own(directory: Path) -> CachedModel | None:
    """Return the model in a directory of the service's downloader; None without any trace of its URI."""
    record = read_record(directory) or _any_record(directory)
    complete = read_record(directory) is not None
    partial = directory / PARTIAL
    if record is None and not partial.is_dir():
        return None
    return CachedModel(
        uri=record.uri if record else f"{directory.parent.name}://… ({directory.name})",
        directory=directory,
        version=record.version if record and complete else None,
        files=len(record.files) if record else 0,
        total_bytes=sum(file.size for file in record.files.values()) if record else 0,
        used_bytes=_used(directory),
    )


def _any_record(directory: Path) -> SnapshotRecord | None:
    """Return the record of a snapshot that was complete once; None without one."""
    found = (read_record_of(directory, path.stem) for path in (directory / SNAPSHOTS).glob("*.json"))
    return next((record for record in found if record), None)


def _of_hub(directory: Path) -> CachedModel | None:
    """Return the model in a repository's directory of the hub's cache; None for other directories."""
    repository = hub_repository(directory)
    snapshot = next(snapshots_of(directory), None)
    if repository is None:
        return None
    files = [path for path in snapshot.rglob("*") if path.is_file()] if snapshot else []
    main = snapshot is not None and snapshot.name == commit_of(directory, MAIN)
    revision = "" if main or snapshot is None else f":{_reference(directory, snapshot.name)}"
    return CachedModel(
        uri=f"hf://{repository}{revision}",
        directory=directory,
        version=snapshot.name if snapshot else None,
        files=len(files),
        total_bytes=sum(path.stat().st_size for path in files),
        used_bytes=_used(directory),
    )


def _reference(directory: Path, commit: str) -> str:
    """Return the name of a reference to the commit; the commit itself without one."""
    for path in sorted((directory / "refs").rglob("*")):
        if path.is_file() and path.read_text(encoding="ascii", errors="replace").strip() == commit:
            return str(path.relative_to(directory / "refs"))
    return commit


def _verify_own(model: CachedModel) -> Iterator[tuple[Path, Damage | None]]:
    """Yield (path, Damage or None) for the files in a model's record."""
    record = read_record(model.directory)
    for name, file in record.files.items() if record else ():
        path = model.directory / CURRENT / name
        expected = parse_digest(file.digest)
        found = str(digest_of(path, expected)) if path.is_file() else None
        yield path, None if found == file.digest else _damage(model, path, file.digest, found)


def _verify_hub(model: CachedModel) -> Iterator[tuple[Path, Damage | None]]:
    """Yield (path, Damage or None) for the blobs of a repository: each is named after its digest."""
    for path in sorted((model.directory / "blobs").glob("*")):
        if _SHA256.fullmatch(path.name):
            found = f"sha256:{_file_digest(path, 'sha256', b'')}"
            expected = f"sha256:{path.name}"
        elif _SHA1.fullmatch(path.name):
            # Of small files: the digest that git gives a blob.
            found = f"git:{_file_digest(path, 'sha1', f'blob {path.stat().st_size}'.encode() + bytes(1))}"
            expected = f"git:{path.name}"
        else:
            continue
        yield path, None if found == expected else _damage(model, path, expected, found)


def _damage(model: CachedModel, path: Path, expected: str, found: str | None) -> Damage:
    """Return a Damage of a model's file."""
    return Damage(uri=model.uri, path=path, expected=expected, found=found)


def _file_digest(path: Path, algorithm: str, prefix: bytes) -> str:
    """Return the hex digest of a prefix and a file's bytes."""
    digest = hashlib.new(algorithm, prefix, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _used(directory: Path) -> int:
    """Return the bytes that a directory takes on the disk; hard links count once."""
    found = {}
    for path in directory.rglob("*"):
        stat = path.lstat()
        found[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
    return sum(found.values())
