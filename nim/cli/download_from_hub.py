"""Download from the model hub for `nim fetch` and `nim store`: choose files, check space, show progress."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import TYPE_CHECKING

from nim.errors import PreflightError, SettingsError, WeightsError
from nim.fetch.format_size import format_size
from nim.fetch.remove_partial_downloads import abandoned, drop_open
from nim.frozen_dataclass import frozen_dataclass
from nim.health.measure_download_progress import DownloadProgress, scan_download
from nim.log_format import Form
from nim.models.checkpoint.choose_files_to_fetch import files_to_fetch
from nim.models.checkpoint.explanations.download_again_command import Origin
from nim.models.checkpoint.find_shards import read_index
from nim.models.checkpoint.findings import Fault, refuse
from nim.models.checkpoint.read_local_model import read_snapshot
from nim.models.checkpoint.select_weight_files import AUTO, INDEX, has_index, needs_weights
from nim.models.hub.check_connection_variables import check_hub_environment
from nim.plan import Download, Wanted
from nim.planning.find_local_model_files import why_offline
from nim.preflight.check_directories import check_directory
from nim.preflight.check_mounts import Place, probe
from nim.redact import known_secrets, without
from nim.settings import Settings

if TYPE_CHECKING:
    from nim.fetch.hub import Repository

POLL_SECONDS = 1.0

Log = Callable[[str, str], None]


def logger(settings: Settings, environ: Mapping[str, str]) -> Log:
    """Return a function (level, message) that writes a log line to stderr, with secrets masked."""
    secrets = known_secrets(environ)
    form = Form(as_json=settings.jsonl_logging, level=settings.log_level)

    def log(level: str, message: str) -> None:
        """Write a line to stderr, secrets masked, if its level is wanted."""
        if form.wants(level):
            sys.stderr.write(form.line(level, "nim", without(secrets, message), at=time.time()))
            sys.stderr.flush()

    return log


def end_at_signals(settings: Settings) -> None:
    """Make SIGTERM and SIGINT end this process at once with a log line and exit code 128 + number."""
    form = Form(as_json=settings.jsonl_logging)

    def stop(number: int, _: FrameType | None) -> None:
        """Delete open partial files, log, and exit with 128 + the signal's number."""
        drop_open()
        what = f"stopped by {signal.Signals(number).name}: whole files are kept"
        line = form.line("ERROR", "nim", f"{what}, and the same command continues from there", at=time.time())
        os.write(2, line.encode())
        os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def refuse_offline(settings: Settings, environ: Mapping[str, str], wanted: Sequence[Wanted]) -> None:
    """Raise SettingsError if repositories are wanted and a variable forbids downloads."""
    if wanted and (name := why_offline(settings, environ)):
        message = f"cannot fetch {wanted[0].uri}: {name}={environ[name]} says to fetch nothing"
        raise SettingsError(message, hint=f"unset {name}")


@frozen_dataclass
class Done:
    """A finished repository: bytes fetched, and the seconds that took."""

    fetched_bytes: int
    seconds: float


class Hub:
    """The hub's client in the engine's environment, which the client library reads when it is imported."""

    def __init__(self, log: Log, environ: Mapping[str, str], env: Mapping[str, str]) -> None:
        self._log = log
        self._environ = {**environ, **env}
        check_hub_environment(self._environ)
        os.environ.update({**environ, **env, "HF_HUB_DISABLE_PROGRESS_BARS": "1"})  # noqa: TID251 (nothing is read)
        try:
            from nim.fetch import hub
        except ImportError as error:
            message = f"cannot fetch anything: the Python package {error.name} is not installed"
            raise PreflightError(message, hint="make setup, or pip install huggingface_hub") from None
        self._hub = hub
        hub.forward_log(lambda message: log("WARNING", message))
        hub.refuse_web_pages()

    def needed(self, wanted: Wanted, *, dry: bool = False) -> "Repository":
        """Ask the hub; return a Repository of only the files that the engine loads. Downloads no weights."""
        with self._refusing(wanted):
            found = self._hub.look_up(wanted)
            if not has_index(found.files, wanted.load_format):
                return narrowed(found, ())
            with tempfile.TemporaryDirectory() if dry else nullcontext() as elsewhere:
                return narrowed(found, _indexed(wanted, self._hub.fetch_file(found, INDEX, elsewhere)))

    def cached(self, wanted: Wanted) -> "Repository | None":
        """Return a Repository of the cached files that the engine loads; None if any is missing."""
        found = self._hub.find_in_cache(wanted)
        if found is None:
            return None
        indexed = has_index(found.files, wanted.load_format)
        with suppress(WeightsError):
            return narrowed(found, _indexed(wanted, found.snapshot / INDEX) if indexed else ())
        return None

    def snapshot(self, wanted: Wanted) -> Path | None:
        """Return the directory of the model's files in the cache, complete or not; None if there is none."""
        found = self._hub.find_in_cache(wanted)
        return None if found is None else found.snapshot

    def fetch_small(self, wanted: Wanted, names: Sequence[str], elsewhere: str) -> Path | None:
        """Download the named files below `elsewhere`; return their directory, None if the hub has none.

        The cache stays unchanged: files in it would make a start take the model for a partly fetched one.
        """
        with self._refusing(wanted):
            found = self._hub.look_up(wanted)
            paths = [self._hub.fetch_file(found, name, elsewhere) for name in names if name in found.files]
        return paths[0].parent if paths else None

    def check_room(self, repositories: Sequence["Repository"]) -> None:
        """Delete old partial files; raise PreflightError for downloads larger than the free disk space."""
        for cache in dict.fromkeys(one.wanted.cache for one in repositories):
            here = [one for one in repositories if one.wanted.cache == cache]
            self._remove_partial_files(here)
            need = sum(size or 0 for one in here for size in one.missing.values())
            free = shutil.disk_usage(cache).free
            if need > free:
                raise PreflightError(
                    f"cannot fetch {', '.join(one.wanted.uri for one in here)}: "
                    f"{format_size(need)} are missing, and '{cache}' has {format_size(free)} free",
                    hint=f"df -h '{cache}', or NIM_CACHE_PATH=… elsewhere",
                )

    def fetch(self, repository: "Repository") -> Done:
        """Download one repository into the cache, log progress, check it; return Done (bytes, seconds)."""
        wanted, missing = repository.wanted, repository.missing
        began = time.monotonic()
        size = self._hub.bytes_of(missing)
        if missing:
            what = f"{len(missing)} of {len(repository.files)} files, {format_size(size)}"
            source = f"{wanted.uri} ({repository.commit[:12]})"
            self._log("INFO", f"fetching {source}: {what}, into {wanted.directory}")
        with self._refusing(wanted), self._progress(repository):
            self._hub.fetch(repository)
        judge_fetched(repository)
        return Done(fetched_bytes=size or 0, seconds=time.monotonic() - began)

    def _remove_partial_files(self, repositories: Sequence["Repository"]) -> None:
        """Delete partial files of killed downloads, logging each."""
        for path in [path for one in repositories for path in abandoned(one.wanted)]:
            size = path.stat().st_blocks * 512
            path.unlink(missing_ok=True)
            self._log("INFO", f"removed {path}: {format_size(size)} that a killed download had left")

    @contextmanager
    def _refusing(self, wanted: Wanted) -> Iterator[None]:
        """Turn exceptions of the hub's client in the block into NimErrors (a context manager)."""
        from nim.fetch.convert_hub_errors import RAISED, refusal

        try:
            yield
        except RAISED as error:
            raise refusal(error, wanted, self._environ) from error

    @contextmanager
    def _progress(self, repository: "Repository") -> Iterator[None]:
        """Log the download's progress, by the bytes on disk, while the block runs (a context manager)."""
        directory, over = repository.wanted.directory, Event()
        total = self._hub.bytes_of(repository.files)
        download = Download(directory=str(directory), total_bytes=total)
        fetching = DownloadProgress(download, lambda message: self._log("INFO", message))

        def watch() -> None:
            """Scan the download directory at intervals until the download is over."""
            while not over.is_set():
                fetching.add_scan(scan_download(directory), time.monotonic())
                over.wait(POLL_SECONDS)

        thread = Thread(target=watch, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def judge_fetched(repository: "Repository") -> None:
    """Read the cached files of a repository; raise WeightsError if the engine cannot load them."""
    load_format = repository.wanted.load_format
    if needs_weights(load_format):
        refuse(read_snapshot(repository.snapshot, load_format or AUTO).findings, *Fault)


def narrowed(found: "Repository", index: Collection[str]) -> "Repository":
    """Return the Repository with only the files that the engine loads; WeightsError without weights."""
    wanted = found.wanted
    return found.only(files_to_fetch(wanted.uri, found.files, wanted.load_format, wanted.ignored, index))


def _indexed(wanted: Wanted, file: Path) -> Collection[str]:
    """Return the names of the weight files in an index file on disk."""
    return read_index(file, Origin(download=f"nim fetch --model-uri {wanted.uri}"))


def check_cache(repositories: Iterable[Wanted], settings: Settings) -> None:
    """Write to the cache directories; PreflightError if that fails. Nothing is asked of the hub."""
    for place in _caches(repositories):
        check_directory(place.path, place.variable, settings.cache_probe_timeout)


def probe_cache(repositories: Iterable[Wanted], settings: Settings) -> None:
    """Raise PreflightError for a cache on a mount that does not respond; nothing is written."""
    probe(_caches(repositories), settings.cache_probe_timeout)


def _caches(repositories: Iterable[Wanted]) -> Iterator[Place]:
    """Yield the cache directory of each repository as a Place, without repeats."""
    for cache in dict.fromkeys(one.cache for one in repositories):
        yield Place(path=Path(cache), variable="NIM_CACHE_PATH")
