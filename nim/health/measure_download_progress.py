"""Progress of the engine's model download, measured by the bytes in the hub cache."""

import json
import os
import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from nim.frozen_dataclass import frozen_dataclass
from nim.models.remote.cache_directories import PROGRESS_FILE
from nim.plan import Download
from nim.service_state import DownloadState

# A model has tens of files, seldom hundreds; the scan stops here so that it stays cheap.
MOST_FILES = 4096
WINDOW_SECONDS = 30.0
LOG_SECONDS = 15.0
# The size in a profile is rounded, and files have headers.
TOLERANCE = 0.02
# What arrives beside weights (a tokenizer, a configuration) does not count as a download.
LEAST_BYTES = 1_000_000
INDEX_BYTES = 4096
_TOTAL = re.compile(rb'"total_size"\s*:\s*(\d+)')


@frozen_dataclass
class Found:
    """One scan of the directory. `partial`: a file is incomplete. `total_bytes`: from the model's index."""

    have_bytes: int = 0
    partial: bool = False
    total_bytes: int | None = None


def scan_download(directory: Path) -> Found:
    """Return a Found of a download: as its process records it, else by the files of a hub cache directory."""
    return _recorded(directory) or _scan_hub_cache(directory)


def _recorded(directory: Path) -> Found | None:
    """Return the Found that the service's own downloader records; None without a record."""
    try:
        data = json.loads((directory / PROGRESS_FILE).read_bytes())
        have, total = int(data["have_bytes"]), int(data["total_bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Found(have_bytes=have, partial=have < total, total_bytes=total)


def _scan_hub_cache(directory: Path) -> Found:
    """Return a Found of a hub cache directory: allocated bytes, any partial file, total size if known."""
    have, partial = 0, False
    with suppress(OSError), os.scandir(directory / "blobs") as entries:
        for entry in islice(entries, MOST_FILES):
            with suppress(OSError):  # a file is renamed when it is complete
                stat = entry.stat(follow_symlinks=False)
                have += min(stat.st_size, stat.st_blocks * 512)
                partial = partial or entry.name.endswith(".incomplete")
    return Found(have_bytes=have, partial=partial, total_bytes=_indexed_bytes(directory))


def _indexed_bytes(directory: Path) -> int | None:
    """Return `total_size` in the newest weight index below `directory`; None without one."""
    with suppress(OSError):
        indexes = islice((directory / "snapshots").glob("*/*.safetensors.index.json"), MOST_FILES)
        newest = max(indexes, key=lambda path: path.stat().st_mtime, default=None)
        if newest:
            with newest.open("rb") as file:
                text = file.read(INDEX_BYTES)
                file.seek(max(os.fstat(file.fileno()).st_size - INDEX_BYTES, 0))
                match = _TOTAL.search(text) or _TOTAL.search(file.read(INDEX_BYTES))
                return int(match[1]) if match else None
    return None


class DownloadProgress:
    """Progress of one download across scans. `say` gets a line at intervals while it runs.

    `needed`: whether this start downloads, or downloaded, anything; None before the first scan.
    """

    def __init__(self, download: Download, say: Callable[[str], None]) -> None:
        self._total, self._say = download.total_bytes, say
        self._looks: deque[tuple[float, int]] = deque()
        self._first_bytes = 0
        self._grew_from: float | None = None
        self._grew_to = self._said_at = 0.0
        self.needed: bool | None = None

    @property
    def seconds(self) -> float:
        """Return the seconds from the first to the last growth of the download; 0.0 if it has not grown."""
        return 0.0 if self._grew_from is None else self._grew_to - self._grew_from

    @property
    def have_bytes(self) -> int:
        """Return the bytes present at the last scan; 0 before the first."""
        return self._looks[-1][1] if self._looks else 0

    @property
    def total_bytes(self) -> int | None:
        """Return the size of the download in bytes; None if unknown or less than is present."""
        total = self._total
        return total if total and self.have_bytes <= total * (1 + TOLERANCE) else None

    @property
    def progress(self) -> float | None:
        """Return the fraction downloaded, 0 to 1; None if nothing is downloaded or the size is unknown."""
        if not self.total_bytes or not self.needed:
            return None
        return min(self.have_bytes / self.total_bytes, 1.0)

    @property
    def rate(self) -> float | None:
        """Return the bytes per second of the last 30 s; None after fewer than two scans."""
        if len(self._looks) < 2:
            return None
        (then, before), (now, after) = self._looks[0], self._looks[-1]
        return (after - before) / (now - then) if now > then else None

    @property
    def state(self) -> DownloadState:
        """Return bytes and rate as the state of the service has them."""
        rate = None if self.rate is None else round(self.rate)
        return DownloadState(have_bytes=self.have_bytes, total_bytes=self.total_bytes, bytes_per_second=rate)

    def rest(self, now: float) -> float | None:
        """Return the seconds left after `now` at the present rate; None if unknown or complete."""
        total, rate = self.total_bytes, self.rate
        if not total or not rate or not self.needed or self.have_bytes >= total * (1 - TOLERANCE):
            return None
        return max((total - self.have_bytes) / rate - (now - self._looks[-1][0]), 0)

    def add_scan(self, found: Found, now: float) -> None:
        """Record one scan of the download directory at time `now`; log the progress every 15 s."""
        if self.needed is None:
            self._begin(found, now)
        if found.have_bytes > self.have_bytes:
            self._grew(found.have_bytes, now)
        self._total = found.total_bytes or self._total
        self._looks.append((now, found.have_bytes))
        while self._looks[0][0] < now - WINDOW_SECONDS:
            self._looks.popleft()
        if self.needed and now - self._said_at >= LOG_SECONDS:
            self._said_at = now
            self._say(self.progress_text(now))

    def progress_text(self, now: float) -> str:
        """Return bytes, rate and time left as one line of text."""
        total, rest, rate = self.total_bytes, self.rest(now), self.rate
        unit, name = (10**9, "GB") if (total or self.have_bytes) >= 10**9 else (10**6, "MB")
        of = f" of {total / unit:.1f}" if total else ""
        parts = [f"fetched {self.have_bytes / unit:.1f}{of} {name}"]
        parts += [] if rate is None else [f"{rate / 10**6:.{0 if rate >= 10**7 else 1}f} MB/s"]
        parts += [] if rest is None else [f"about {rest:.0f} s left"]
        return ", ".join(parts)

    def _begin(self, found: Found, now: float) -> None:
        """Record the first scan of the directory, and whether a download is needed."""
        if total := found.total_bytes or self._total:
            self.needed = found.have_bytes < total * (1 - TOLERANCE)
        else:
            self.needed = found.partial or found.have_bytes < LEAST_BYTES
        self._first_bytes, self._said_at = found.have_bytes, now
        self._looks.append((now, found.have_bytes))

    def _grew(self, have: int, now: float) -> None:
        """Record the times of the first and the last growth of the download, once it exceeds 1 MB."""
        if have - self._first_bytes >= LEAST_BYTES:
            if self._grew_from is None:
                self._grew_from = self._looks[-1][0]
            self._grew_to = now
            self.needed = True
