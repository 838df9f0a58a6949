"""Publish the state to files: state.json, the readiness body, and the flag files that nginx tests."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nim.health.detect_startup_phase import DOING, IN_ORDER, Step
from nim.plan import DRAINING_FILE, NOT_READY_FILE, SERVING_FILE, STALLED_FILE, STATE_FILE
from nim.service_state import DownloadState, Failure, Phase, PhaseDone, State


def write_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write `text` to a file atomically, through a temporary file: readers see the old text or the new."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
        os.fchmod(fd, mode)
        file.write(text)
    temporary.replace(path)


def first_state(now: float) -> State:
    """Return the State to publish before anything runs: phase select, started at `now`."""
    return State(phase=Phase.SELECT, message=DOING[Phase.SELECT], started_at=now, phase_since=now)


class StatusPublisher:
    """Publishes each change of the state, starting from the one written by the launcher.

    `now` returns Unix seconds. `eta` returns the seconds until ready; called at each change and `tick`.
    `judged`: stalls are detected, so that an engine which is late to answer /health is not yet unready.
    """

    def __init__(self, run_dir: Path, now: Callable[[], float] = time.time, *, judged: bool = True) -> None:
        self._run_dir, self._now, self._judged = run_dir, now, judged
        self.eta: Callable[[State], float | None] = lambda _: None
        self.state = State.from_json((run_dir / STATE_FILE).read_text(encoding="utf-8"))
        self._began = self.state.started_at

    def step(self, step: Step) -> None:
        """Publish phase, message and progress of a Step of the engine's start."""
        self._enter(step.phase, step.message, step.progress)

    def tick(self) -> None:
        """Publish the state again if its ETA has changed."""
        self._change(self.state)

    def downloaded(self, download: DownloadState) -> None:
        """Publish how much of the model is on disk, with the next change of the state."""
        self.state = replace(self.state, download=download)

    def certificate(self, expires_at: float | None) -> None:
        """Publish when the TLS certificate expires, in Unix seconds; None if that is not known."""
        self._change(replace(self.state, certificate_expires_at=expires_at))

    def reloaded(self) -> None:
        """Add one to the published number of times that nginx reread changed files."""
        self._change(replace(self.state, reloads=self.state.reloads + 1))

    def reload_refused(self) -> None:
        """Add one to the published number of changed files that nginx was not given."""
        self._change(replace(self.state, refused_reloads=self.state.refused_reloads + 1))

    def ready(self) -> float:
        """Publish ready and remove the stalled flag; return the seconds since the engine was started."""
        self._enter(Phase.READY, "ready", ready=True)
        (self._run_dir / STALLED_FILE).unlink(missing_ok=True)
        return max(self._now() - self._began, 0)

    def doubted(self, message: str) -> None:
        """Publish not ready while a lost process is being judged; create the flag file that nginx tests."""
        self._enter(Phase.UNKNOWN, message)
        self._raise_flag(STALLED_FILE)

    def stalled(self, message: str) -> None:
        """Publish not ready because the engine is stalled, and create the flag file that nginx tests."""
        self._enter(Phase.STALLED, message)
        self._raise_flag(STALLED_FILE)

    def hold(self) -> None:
        """Create the flag file that nginx tests: the engine is not ready yet when it answers /health."""
        self._raise_flag(STALLED_FILE)

    def count_stall(self) -> None:
        """Add one to the published number of stalls."""
        self._change(replace(self.state, stalls=self.state.stalls + 1))

    def lost(self, failure: Failure, message: str) -> None:
        """Publish that the engine was lost and will be restarted, and create the flag file of nginx."""
        counts = dict(self.state.restarts)
        counts[failure.kind] = counts.get(failure.kind, 0) + 1
        self._enter(Phase.RESTARTING, message)
        self._change(replace(self.state, failure=failure, restarts=tuple(sorted(counts.items()))))
        self._raise_flag(STALLED_FILE)

    def failed(self, failure: Failure) -> None:
        """Publish phase stopped with the failure that ends the service."""
        self._enter(Phase.STOPPED, failure.message)
        self._change(replace(self.state, failure=failure))

    def starting_again(self) -> None:
        """Publish that the engine starts again: phase select, without the finished phases."""
        now = self._began = self._now()
        message = f"{DOING[Phase.SELECT]} again"
        self._change(replace(self.state, phase=Phase.SELECT, message=message, phase_since=now, done=()))

    def draining(self) -> None:
        """Publish that the shutdown has begun, and create the flag file that nginx tests."""
        self._enter(Phase.DRAINING, "draining: the service is stopping")
        self._raise_flag(DRAINING_FILE)

    def stopped(self) -> None:
        """Publish that nothing runs any more, and remove the flag files."""
        if self.state.phase is not Phase.STOPPED:
            self._enter(Phase.STOPPED, "stopped")
        for name in (DRAINING_FILE, STALLED_FILE, SERVING_FILE):
            (self._run_dir / name).unlink(missing_ok=True)

    def _raise_flag(self, name: str) -> None:
        """Create an empty flag file in the run directory, which nginx tests; errors are ignored."""
        with suppress(OSError):
            (self._run_dir / name).touch(mode=0o600)

    def _enter(
        self, phase: Phase, message: str, progress: float | None = None, *, ready: bool = False
    ) -> None:
        """Publish message and progress, and a new phase; the phase before becomes a finished one."""
        state, now = self.state, self._now()
        if ready and self._judged:
            self._raise_flag(SERVING_FILE)
        elif not ready:
            (self._run_dir / SERVING_FILE).unlink(missing_ok=True)
        changed = replace(state, message=message, progress=progress, ready=ready)
        if phase is not state.phase:
            passed = PhaseDone(phase=state.phase, seconds=round(max(now - state.phase_since, 0), 3))
            done = (*state.done, passed) if state.phase in IN_ORDER else state.done
            changed = replace(changed, phase=phase, phase_since=now, done=done)
        self._change(changed)

    def _change(self, state: State) -> None:
        """Publish a state with its ETA, if it differs from the last one."""
        state = replace(state, eta_seconds=self.eta(state))
        if state != self.state:
            self.state = state
            self._publish()

    def _publish(self) -> None:
        """Write the state and the readiness body to their files; errors such as a full disk are ignored."""
        shown = self.state
        # While ready, /health of the engine decides; this text is for when it fails to answer.
        if shown.ready:
            shown = replace(shown, phase=Phase.UNKNOWN, message="the engine does not answer")
        with suppress(OSError):
            write_file(self._run_dir / STATE_FILE, self.state.to_json())
            write_file(self._run_dir / NOT_READY_FILE, shown.health())
