"""Progress of a download: a file that other processes read, and bars on a terminal or lines in a log."""

import json
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from nim.fetch.download.partial_file import PartialFile
from nim.health.measure_download_progress import DownloadProgress, Found
from nim.models.remote.cache_directories import PROGRESS_FILE
from nim.plan import Download

TICK_SECONDS, BAR_SECONDS = 1.0, 0.2

Count = Callable[[], int]
Show = Callable[[str], None]


def write_progress(directory: Path, have: int, total: int) -> None:
    """Write the bytes that are there and their total into the progress file; nothing if that fails."""
    path = directory / PROGRESS_FILE
    partial = path.with_suffix(".new")
    with suppress(OSError):
        partial.write_text(json.dumps({"have_bytes": have, "total_bytes": total}), encoding="ascii")
        partial.replace(path)


@contextmanager
def shown(directory: Path, files: Sequence[PartialFile], base: int, say: Show | None) -> Iterator[None]:
    """Publish the progress of the files while the block runs; `base` is what was complete before.

    Bars on a terminal, else a line of `say` every 15 s; None: only the file, since the service logs it.
    """
    total = base + sum(file.file.size for file in files)

    def have() -> int:
        """Return the bytes that are on disk."""
        return base + sum(file.have_bytes for file in files)

    over = threading.Event()
    on_terminal = say is not None and sys.stderr.isatty()
    follow = _bars(files, have, total) if on_terminal else _lines(have, total, say)
    next(follow)

    def watch() -> None:
        """Publish the progress at intervals until the block is over."""
        while not over.wait(BAR_SECONDS if on_terminal else TICK_SECONDS):
            write_progress(directory, have(), total)
            next(follow)

    write_progress(directory, have(), total)
    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        write_progress(directory, have(), total)
        next(follow)
        follow.close()


def _lines(have: Count, total: int, say: Show | None) -> Generator[None]:
    """Log bytes, rate and time left every 15 s; `next` does so where it is time (a generator)."""
    progress = DownloadProgress(Download(directory="", total_bytes=total), say or (lambda _: None))
    while True:
        progress.add_scan(Found(have_bytes=have(), total_bytes=total), time.monotonic())
        yield


def _bars(files: Sequence[PartialFile], have: Count, total: int) -> Generator[None]:
    """Draw a bar for all and one for each file being fetched, at each `next` (a generator)."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        whole = bars.add_task("all files", total=total, completed=have())
        drawn: dict[PartialFile, object] = {}
        while True:
            bars.update(whole, completed=have())
            for file in files:
                if file in drawn:
                    bars.update(drawn[file], completed=file.have_bytes, visible=not file.complete)  # type: ignore[arg-type]
                elif file.have_bytes and not file.complete:
                    drawn[file] = bars.add_task(
                        file.file.name, total=file.file.size, completed=file.have_bytes
                    )
            yield
