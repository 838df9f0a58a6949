"""Transfer the missing segments of files with several threads, retry what broke off, verify each file."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from nim.fetch.download.partial_file import PartialFile, Segment
from nim.fetch.sources.remote_files import Source, SourceError

WORKERS = 8
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, TRIES = 0.5, 30.0, 7
# So that little is left to be hashed when the last bytes have arrived.
HASH_BYTES = 16 * 1024 * 1024
# How long workers may take to notice that another has failed.
END_SECONDS = 2.0
# Of workers that the same fault stopped, one says so.
SAY_SECONDS = 1.0

Log = Callable[[str, str], None]
Work = tuple[PartialFile, Segment]


class Transfer:
    """One download of several files. `finish` is called once for each file that is complete and verified."""

    def __init__(self, source: Source, log: Log, finish: Callable[[PartialFile], None]) -> None:
        self._source, self._log, self._finish = source, log, finish
        self._lock = threading.Lock()
        self._work: deque[Work] = deque()
        self._left: dict[PartialFile, int] = {}
        self._second_time: set[PartialFile] = set()
        self._error: BaseException | None = None
        self._said_at = 0.0
        self._over = threading.Event()

    def run(self, files: Sequence[PartialFile]) -> None:
        """Transfer what the files lack; raise the first error, SourceError or OSError."""
        ready = [file for file in files if not self._add(file)]
        threads = [
            threading.Thread(target=self._run_worker, name=f"fetch-{number}", daemon=True)
            for number in range(min(WORKERS, len(self._work) + len(ready)))
        ]
        self._work.extendleft((file, _whole(file)) for file in reversed(ready))
        self._left |= dict.fromkeys(ready, 1)
        if not threads:
            return
        for thread in threads:
            thread.start()
        self._over.wait()
        # A worker that waits for bytes ends with its process; its file is closed by then.
        deadline = time.monotonic() + END_SECONDS
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0) if self._error else None)
        if self._error:
            raise self._error

    def _add(self, file: PartialFile) -> bool:
        """Add a file's missing segments to the work; return whether it had any."""
        missing = file.missing()
        self._work.extend((file, segment) for segment in missing)
        if missing:
            self._left[file] = len(missing)
        return bool(missing)

    def _run_worker(self) -> None:
        """Do one piece of work after the other until none is left, or one has failed."""
        try:
            while work := self._take():
                file, segment = work
                if segment.start < segment.end and not file.complete:
                    self._transfer(file, segment)
                self._count(file)
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
            self._over.set()

    def _take(self) -> Work | None:
        """Return the next piece of work; None if there is none, or none is to be done any more."""
        while not self._over.is_set():
            with self._lock:
                if self._work:
                    return self._work.popleft()
                if not self._left:
                    self._over.set()
            self._over.wait(0.05)  # a file whose digest is wrong comes back as work
        return None

    def _transfer(self, file: PartialFile, segment: Segment) -> None:
        """Read a segment into its file; what breaks off goes on where it ended, after a delay."""
        at, hashed_at, tries = segment.start, segment.start, 0
        while at < segment.end:
            began_at = at
            try:
                for data in self._source.read(file.file, at, segment.end):
                    file.write(segment, at, data)
                    at += len(data)
                    if at - hashed_at >= HASH_BYTES:
                        hashed_at = at
                        file.hash_further()
                    if self._over.is_set():
                        return
                if at < segment.end:
                    raise SourceError(f"the connection ended before {file.file.name} did", transient=True)
            except SourceError as error:
                tries = 1 if at > began_at else tries + 1
                self._pause(error, tries)
        file.hash_further()

    def _pause(self, error: SourceError, tries: int) -> None:
        """Wait before the next try; raise the error if it is not transient or the tries are used up."""
        if not error.transient or tries > TRIES:
            raise error
        delay = min(FIRST_DELAY_SECONDS * 2.0 ** (tries - 1), LONGEST_DELAY_SECONDS)
        with self._lock:
            says = time.monotonic() - self._said_at > SAY_SECONDS
            self._said_at = time.monotonic() if says else self._said_at
        if says:
            self._log("WARNING", f"{error.message}: again in {delay:g} s (try {tries} of {TRIES})")
        self._over.wait(delay)

    def _count(self, file: PartialFile) -> None:
        """Count a finished segment; verify and finish the file after its last."""
        with self._lock:
            self._left[file] -= 1
            if self._left[file] or self._over.is_set():
                return
        if self._verify(file):
            self._finish(file)
            with self._lock:
                del self._left[file]

    def _verify(self, file: PartialFile) -> bool:
        """Return whether the file's bytes have the source's digest; else add it to the work again, once."""
        hasher = file.hasher()
        found, expected = hasher.result(), hasher.expected
        if expected is None or found == expected:
            return True
        if not self._source.states_digest(file.file):
            file.has_no_digest()
            return True
        message = f"{file.file.name} arrived with {found}, and the source states {expected}"
        if file in self._second_time:
            raise SourceError(
                f"{message}, twice",
                hint="the file at the source is damaged, or a proxy on the way changes it",
            )
        self._log("WARNING", f"{message}: it is fetched again")
        with self._lock:
            self._second_time.add(file)
            file.begin_again()
            self._add(file)
        return False


def _whole(file: PartialFile) -> Segment:
    """Return a segment without bytes: the file is complete on disk, and only to be verified."""
    return Segment(number=0, start=file.file.size, end=file.file.size)
