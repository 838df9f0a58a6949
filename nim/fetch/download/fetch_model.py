"""Fetch a model from its source into the cache; nothing is asked of the network if it is complete there."""

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from nim.errors import WeightsError
from nim.fetch.download.fetch_refusals import check_room, refusal
from nim.fetch.download.list_source import index_names, listed_files, wanted_files
from nim.fetch.download.model_lock import held
from nim.fetch.download.partial_file import PartialFile
from nim.fetch.download.progress import Show, shown, write_progress
from nim.fetch.download.transfer import Log, Transfer
from nim.fetch.format_size import format_size
from nim.fetch.sources.remote_files import RemoteFile, Source, SourceError, version_of
from nim.frozen_dataclass import frozen_dataclass
from nim.models.checkpoint.select_weight_files import INDEX, has_index
from nim.models.remote.cache_directories import (
    CURRENT,
    LOCK_FILE,
    PARTIAL,
    SNAPSHOTS,
    CachedFile,
    SnapshotRecord,
    read_record,
    read_record_of,
    record_path,
)
from nim.plan import RemoteModel


@frozen_dataclass
class Fetched:
    """A model that is complete in the cache: its directory, and what this process did for that."""

    directory: Path
    version: str
    files: int
    total_bytes: int
    fetched_bytes: int
    seconds: float


def complete_record(remote: RemoteModel) -> SnapshotRecord | None:
    """Return the record of the complete snapshot; None if it lacks files that this load format needs."""
    directory = Path(remote.directory)
    record = read_record(directory)
    if record is None:
        return None
    with suppress(WeightsError):
        index = index_names(remote, directory / CURRENT / INDEX, record.listed)
        wanted = wanted_files(remote, record.listed, index)
        return record if set(wanted) <= record.files.keys() else None
    return None


def fetch_model(
    remote: RemoteModel,
    open_source: Callable[[], Source],
    log: Log,
    *,
    refresh: bool = False,
    show: Show | None = None,
) -> Fetched:
    """Fetch what the cache lacks of a model; return Fetched. NimError with cause and next step.

    `refresh`: ask the source whether files have changed. `show` gets lines on the progress.
    """
    began = time.monotonic()
    directory = Path(remote.directory)

    def is_complete() -> bool:
        """Return whether another process has completed it, or had before."""
        return not refresh and complete_record(remote) is not None

    if not is_complete():
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with held(directory / LOCK_FILE, lambda text: log("INFO", f"{remote.uri}: {text}"), is_complete):
                if not is_complete():
                    return _ModelFetch(remote, open_source(), log, show).run(began)
        except (SourceError, OSError) as error:
            raise refusal(remote, error) from error
    record = complete_record(remote)
    assert record
    total = sum(file.size for file in record.files.values())
    write_progress(directory, total, total)
    return _fetched(directory, record, 0, began)


class _ModelFetch:
    """One fetch of a model, by the process that holds its lock."""

    def __init__(self, remote: RemoteModel, source: Source, log: Log, show: Show | None) -> None:
        self._remote, self._source, self._log, self._show = remote, source, log, show
        self._directory = Path(remote.directory)
        self._done: dict[str, CachedFile] = {}
        self._before = read_record(self._directory)

    def run(self, began: float) -> Fetched:
        """Fetch the missing files, make their snapshot the current one; return Fetched."""
        listed = {file.name: file for file in listed_files(self._source, self._log)}
        self._version = version_of(tuple(listed.values()))
        self._snapshot = self._directory / SNAPSHOTS / self._version
        self._snapshot.mkdir(parents=True, exist_ok=True)
        self._once = read_record_of(self._directory, self._version)
        names = list(listed)
        if not self._remote.adapters and has_index(names, self._remote.load_format):
            self._transfer([listed[INDEX]])
        index = index_names(self._remote, self._snapshot / INDEX, names)
        wanted = wanted_files(self._remote, names, index)
        fetched = self._transfer([listed[name] for name in wanted], whole=True)
        record = SnapshotRecord(
            uri=self._remote.uri,
            version=self._version,
            listed=tuple(names),
            files=dict(sorted(self._done.items())),
        )
        self._make_current(record)
        return _fetched(self._directory, record, fetched, began)

    def _transfer(self, files: Sequence[RemoteFile], *, whole: bool = False) -> int:
        """Bring the files into the snapshot; return how many bytes were fetched for that.

        `whole`: they are the whole model, whose progress is shown.
        """
        files = [file for file in files if not self._is_here(file)]
        partial = self._directory / PARTIAL
        opened = [PartialFile(partial / file.name, file) for file in files]
        missing = sum(file.file.size - file.have_bytes for file in opened)
        try:
            check_room(self._remote, missing)
            if files and whole:
                total = sum(file.size for file in files)
                rest = f", {format_size(total - missing)} of them are here" if missing < total else ""
                what = f"{len(files)} files, {format_size(total)}{rest}"
                self._log(
                    "INFO", f"fetching {self._remote.uri} ({self._version}): {what}, into {self._directory}"
                )
            base = sum(one.size for one in self._done.values())
            with shown(self._directory, opened, base, self._show) if whole else nullcontext():
                Transfer(self._source, self._log, self._finish).run(opened)
        finally:
            for file in opened:
                file.close()
        return missing

    def _is_here(self, file: RemoteFile) -> bool:
        """Return whether the snapshot has the file, perhaps now, as a link into the one before it."""
        place = self._snapshot / file.name
        mark = self._snapshot / f".{file.name.replace('/', '%')}.digest"
        return (
            file.name in self._done
            or self._take_recorded(file, place)
            or self._take_finished(file, place, mark)
            or self._link(file, place)
        )

    def _take_recorded(self, file: RemoteFile, place: Path) -> bool:
        """Return whether the snapshot was complete once and still has the file, as its record says."""
        recorded = self._once.files.get(file.name) if self._once else None
        with suppress(OSError):
            if recorded and place.stat().st_size == recorded.size == file.size:
                self._done[file.name] = recorded
                return True
        return False

    def _take_finished(self, file: RemoteFile, place: Path, mark: Path) -> bool:
        """Return whether an interrupted fetch of the same version has finished the file, as its mark says."""
        with suppress(OSError):
            if place.stat().st_size == file.size:
                digest, _, by_source = mark.read_text(encoding="ascii").partition(" ")
                self._done[file.name] = CachedFile(
                    size=file.size, digest=digest, by_source=by_source == "source"
                )
                return True
        return False

    def _link(self, file: RemoteFile, place: Path) -> bool:
        """Hard-link a file that the snapshot before has with the same digest; return whether it has."""
        before = self._before.files.get(file.name) if self._before else None
        if before is None or not before.by_source or before.digest != str(file.digest):
            return False
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.hardlink_to((self._directory / CURRENT).resolve() / file.name)
            self._done[file.name] = before
            return True
        return False

    def _finish(self, partial: PartialFile) -> None:
        """Move a verified file into the snapshot, and keep its digest beside it until all are there."""
        hasher, file = partial.hasher(), partial.file
        done = CachedFile(size=file.size, digest=str(hasher.result()), by_source=hasher.expected is not None)
        mark = self._snapshot / f".{file.name.replace('/', '%')}.digest"
        mark.write_text(f"{done.digest} {'source' if done.by_source else 'here'}", encoding="ascii")
        partial.finish(self._snapshot / file.name)
        self._done[file.name] = done

    def _make_current(self, record: SnapshotRecord) -> None:
        """Write the record, make the snapshot the current one, and remove what only a fetch needs."""
        path = record_path(self._directory, self._version)
        new = path.with_suffix(".new")
        new.write_text(record.to_json(), encoding="utf-8")
        new.replace(path)
        link = self._directory / f"{CURRENT}.new"
        link.unlink(missing_ok=True)
        link.symlink_to(Path(SNAPSHOTS) / self._version)
        link.replace(self._directory / CURRENT)
        for mark in self._snapshot.glob(".*.digest"):
            mark.unlink(missing_ok=True)
        shutil.rmtree(self._directory / PARTIAL, ignore_errors=True)


def _fetched(directory: Path, record: SnapshotRecord, fetched: int, began: float) -> Fetched:
    """Return Fetched for a complete snapshot."""
    return Fetched(
        directory=directory / CURRENT,
        version=record.version,
        files=len(record.files),
        total_bytes=sum(file.size for file in record.files.values()),
        fetched_bytes=fetched,
        seconds=time.monotonic() - began,
    )
