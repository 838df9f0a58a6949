"""Track an engine's start: combine history, present phase and download into an ETA."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nim.background_tasks import BackgroundTasks
from nim.event_loop import EventLoop, Timer
from nim.frozen_dataclass import frozen_dataclass
from nim.health.detect_startup_phase import DOING, STARTING, Step
from nim.health.measure_download_progress import DownloadProgress, Found, scan_download
from nim.health.startup_eta import Estimate, expect
from nim.health.startup_history import Run, StartupHistory, key_of, recall, remember
from nim.health.write_status_files import StatusPublisher
from nim.plan import Plan
from nim.service_state import Phase, State

# Interval of ETA updates without events, and of scans during a download.
TICK_SECONDS, RESCAN_SECONDS = 1.0, 2.0


@frozen_dataclass
class Before:
    """What was known before a start: history, state of the compile cache, model files on disk."""

    kept: StartupHistory
    warm: bool
    found: Found | None


class StartupTracker:
    """Tracks the starts of one engine, each from `begin` to `ready` or `end`."""

    def __init__(
        self, plan: Plan, loop: EventLoop, status: StatusPublisher, say: Callable[[str, str], None]
    ) -> None:
        self._loop, self._status, self._say = loop, status, say
        self._background, self._key = BackgroundTasks(loop), key_of(plan)
        self._cache, self._download = Path(plan.cache_dir), plan.download
        engine_cache = Path(plan.engine.env.get("VLLM_CACHE_ROOT", self._cache / "vllm"))
        self._compiled = engine_cache / "torch_compile_cache"
        self._timer: Timer | None = None
        self._number = 0
        self._reset()
        status.eta = self._eta

    def begin(self) -> None:
        """Begin to track a start: read the history in the background, update the ETA every second."""
        self._reset()
        number = self._number
        self._background.run(self._read_history, lambda before: self._on_history(before, number))
        self._timer = self._loop.after(TICK_SECONDS, self._tick)

    def ready(self, seconds: float, note: str | None = None) -> None:
        """Log how long the start took and a note, add it to the history in the background, stop tracking."""
        passed = ", ".join(f"{done.phase} {done.seconds:.1f} s" for done in self._status.state.done)
        expected = self._expected
        usual = "" if expected is None else f" (expected {expected:.1f} s, error {seconds - expected:+.1f} s)"
        also = f"; {note}" if note else ""
        self._say("INFO", f"ready after {seconds:.1f} s{usual}: {passed}{also}")
        phases = self._estimate.seconds(self._loop.now())
        downloaded = self._fetching.seconds if self._fetching else 0.0
        run = Run(
            at=time.time(),
            seconds=phases,
            download_seconds=min(downloaded, phases.get(Phase.FETCH, 0.0)),
            warm=self._warm,
        )
        self._background.run(lambda: remember(self._cache, self._key, run), self._on_remembered)
        self.end()

    def end(self) -> None:
        """Stop tracking: the engine is ready or has ended. Pending results are ignored."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._number += 1

    def _reset(self) -> None:
        """Forget the previous start: its estimate, download progress and times."""
        self._estimate = Estimate({}, Phase.SELECT, self._loop.now())
        self._expected: float | None = None
        self._fetching = DownloadProgress(self._download, self._log_download) if self._download else None
        self._scanned_at, self._warm = self._loop.now(), False

    def _read_history(self) -> Before:
        """Return a Before read from disk: history, compile cache, downloaded bytes (background thread)."""
        warm = False
        with suppress(OSError), os.scandir(self._compiled) as entries:
            warm = next(entries, None) is not None
        found = scan_download(Path(self._download.directory)) if self._download else None
        return Before(kept=recall(self._cache, self._key), warm=warm, found=found)

    def _on_history(self, before: Before, number: int) -> None:
        """Put the history into the estimate and publish the ETA, unless another start has begun."""
        if number != self._number:
            return
        if before.kept.problem:
            self._say("WARNING", before.kept.problem)
        if before.found:
            self._on_scan(before.found, number)
        downloads = bool(self._fetching and self._fetching.needed)
        self._warm = before.warm
        self._estimate.expected = expect(before.kept.runs, warm=before.warm, downloads=downloads)
        self._expected = self._estimate.total
        self._status.tick()

    def _on_remembered(self, problem: str | None) -> None:
        """Log at DEBUG why the start could not be added to the history; nothing if it could."""
        if problem:
            self._say("DEBUG", problem)

    def _tick(self) -> None:
        """Publish a new ETA and schedule the next tick; rescan the download at most every two seconds."""
        now = self._loop.now()
        self._timer = self._loop.after(TICK_SECONDS, self._tick)
        # Also before the fetch phase: the first bytes can be dated only to the scan before them.
        fetches = self._download and self._status.state.phase in (Phase.SELECT, Phase.FETCH)
        if self._download and fetches and now - self._scanned_at >= RESCAN_SECONDS:
            directory, number = Path(self._download.directory), self._number
            self._scanned_at = float("inf")  # no further scan until this one has answered
            self._background.run(lambda: scan_download(directory), lambda found: self._on_scan(found, number))
        self._status.tick()

    def _on_scan(self, found: Found, number: int) -> None:
        """Record a scan of the download directory, publish its progress; nothing if a new start has begun."""
        if number != self._number or self._fetching is None:
            return
        self._scanned_at = self._loop.now()
        self._fetching.add_scan(found, self._scanned_at)
        if self._fetching.needed:
            self._status.downloaded(self._fetching.state)
        if self._fetching.needed and self._status.state.phase is Phase.FETCH:
            text = self._fetching.progress_text(self._scanned_at)
            message = f"{DOING[Phase.FETCH]}: {text}" if self._fetching.have_bytes else DOING[Phase.FETCH]
            step = Step(phase=Phase.FETCH, message=message, progress=self._fetching.progress)
            self._status.step(step)

    def _log_download(self, text: str) -> None:
        """Log the text about the download, only during the fetch phase."""
        if self._status.state.phase is Phase.FETCH:
            self._say("INFO", text)

    def _eta(self, state: State) -> float | None:
        """Record the state's phase, and return its ETA in seconds; None if ready, stopping or unknown."""
        now = self._loop.now()
        self._estimate.note(state.phase, state.progress if state.phase is not Phase.FETCH else None, now)
        if state.ready or state.phase not in STARTING or self._timer is None:
            return None
        download = self._fetching.rest(now) if self._fetching and state.phase is Phase.FETCH else None
        rest = self._estimate.rest(now, download)
        return None if rest is None else round(max(rest, 0), 1)
