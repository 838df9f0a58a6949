"""Decide whether an engine is stalled, from its counters and answered probes. Pure: no clock, no I/O."""

from dataclasses import dataclass, field

from nim.health.parse_engine_counters import EngineCounters


@dataclass(slots=True)
class StallRule:
    """Decides whether an engine has shown no sign of work for `limit` seconds. Times are monotonic.

    `progress_at`: when work or an answer to a probe was last seen. `probed_at`: when the pending probe was
    sent; it has `grace` seconds. `answered_at`: when the counters were last read.
    """

    limit: float
    grace: float
    began_at: float
    answered_at: float = field(init=False)
    progress_at: float = field(init=False)
    probed_at: float | None = None
    _signs: dict[bytes, list[bytes]] = field(default_factory=dict)
    _busy_since: dict[bytes, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reset(self.began_at)

    def reset(self, now: float) -> None:
        """Set all times to `now`, as if work had just been seen: nothing was observed for a while."""
        self.answered_at = self.progress_at = now
        self.probed_at = None if self.probed_at is None else now
        self._busy_since = dict.fromkeys(self._busy_since, now)

    def observe(self, counters: EngineCounters, now: float) -> None:
        """Record one reading of the counters at `now`; a counter that has changed is a sign of work."""
        self.answered_at = now
        for name, core in counters.cores.items():
            moved = core.signs != self._signs.get(name)
            if moved:
                self._signs[name] = core.signs
                self.progress_at = now
            if moved or not core.running:
                self._busy_since[name] = now

    def probe_sent(self, now: float) -> None:
        """Record that a probe was sent at `now`."""
        self.probed_at = now

    def probe_answered(self, now: float, *, by_the_model: bool) -> None:
        """Record the answer to a probe; an answer by the model counts as a sign of work."""
        self.probed_at = None
        if by_the_model:
            self.progress_at = now

    def due(self) -> tuple[float, ...]:
        """Return a tuple of the times at which a verdict is due if nothing else is observed."""
        asked = () if self.probed_at is None else (self._probe_due(self.probed_at),)
        return (self.answered_at + self.limit, *asked, *(at + self.limit for at in self._busy_since.values()))

    def _probe_due(self, probed_at: float) -> float:
        """Return the time from which an unanswered probe counts as a stall; recent work extends it."""
        return max(self.progress_at + self.limit, probed_at + self.grace)

    def verdict(self, now: float) -> str | None:
        """Return a sentence on why the engine is stalled at time `now`; None if it is not."""
        if now - self.answered_at >= self.limit:
            return f"the engine has not answered for {now - self.answered_at:.0f} s"
        asked = self.probed_at
        if asked is not None and now >= self._probe_due(asked):
            return f"a probe of one token has had no answer for {now - asked:.0f} s"
        busy = max((now - since for since in self._busy_since.values()), default=0.0)
        if busy >= self.limit:
            return f"requests are running, and for {busy:.0f} s none of them has got on"
        return None
