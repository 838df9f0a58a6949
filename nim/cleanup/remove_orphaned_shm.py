"""Remove shared memory of a killed engine, at the latest at the next start."""

from collections import Counter
from collections.abc import Callable
from os import getpid
from pathlib import Path

from nim.background_tasks import BackgroundTasks
from nim.cleanup.read_and_watch_processes import all_processes, below
from nim.cleanup.shared_memory import SHM, Record, Segments, listed, mapped, sweep
from nim.event_loop import EventLoop, Timer

SCAN_INTERVAL_SECONDS = 5.0
# A file is mapped right after its creation, but a busy machine can delay that.
LOOKS_UNTIL_OTHERS = 6


class OrphanedSharedMemory:
    """Records the shared-memory segments mapped by descendants, and removes them when those have ended."""

    def __init__(
        self, run_dir: Path, loop: EventLoop, say: Callable[[str, str], None], directory: Path = SHM
    ) -> None:
        self._loop, self._say, self._directory = loop, say, directory
        self._background, self._record = BackgroundTasks(loop), Record(run_dir, directory)
        self._ours: dict[str, int] = {}
        self._others: set[int] = set()
        self._unclaimed: Counter[int] = Counter()
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Remove the previous engine's segments in the background, list those of others, scan every 5 s."""
        if not self._record.held and self._record.open(create=False):
            self._ours = dict(self._record.read())
        old = dict(self._ours)
        self._others = set(listed(self._directory).values())
        self._unclaimed.clear()
        self._background.run(lambda: sweep(old, self._directory), self._swept)
        if self._timer is None:
            self._timer = self._loop.after(SCAN_INTERVAL_SECONDS, self._scan)

    def end(self) -> None:
        """Stop scanning and remove the engine's segments. Call this when none of its processes runs."""
        if self._timer:
            self._timer.cancel()
        if self._record.held:
            self._swept(sweep(self._ours, self._directory))
            self._record.close(remove=not self._present(self._ours))

    def _scan(self) -> None:
        """List the directory, and read the process maps in the background if there is a new segment."""
        self._timer = self._loop.after(SCAN_INTERVAL_SECONDS, self._scan)
        known = {*self._others, *self._ours.values()}
        if any(inode not in known for inode in listed(self._directory).values()):
            self._background.run(self._read_maps, self._add)

    def _read_maps(self) -> Segments:
        """Return {name: inode} of segments mapped by our descendants; others count as foreign later."""
        present = listed(self._directory)
        used = mapped((process.pid for process in below(getpid(), all_processes())), self._directory)
        ours = {name: inode for name, inode in present.items() if inode in used - self._others}
        self._unclaimed.update(set(present.values()) - used - self._others)
        self._others |= {inode for inode, looks in self._unclaimed.items() if looks >= LOOKS_UNTIL_OTHERS}
        return ours

    def _add(self, found: Segments) -> None:
        """Add new segments to the record on disk, and drop those that have disappeared."""
        if found.keys() - self._ours.keys() and (self._record.held or self._record.open(create=True)):
            self._ours = self._present(self._ours | dict(found))
            self._record.write(self._ours)

    def _present(self, segments: Segments) -> dict[str, int]:
        """Return {name: inode} of those of the segments that still exist."""
        present = listed(self._directory)
        return {name: inode for name, inode in segments.items() if present.get(name) == inode}

    def _swept(self, swept: tuple[list[str], int]) -> None:
        """Log the removed segments and take them out of the record; nothing if there are none."""
        gone, size = swept
        if not gone:
            return
        self._ours = {name: inode for name, inode in self._ours.items() if name not in gone}
        self._record.write(self._ours)
        what = f"{len(gone)} files of shared memory ({size / 10**6:.1f} MB) that an engine had left"
        self._say("INFO", f"removed {what}: {', '.join(gone)}")
