"""Since when the engine shows no sign of its work: the judgement alone, without clock or socket."""

from dataclasses import dataclass, field

from nim.health.engine_counters import EngineCounters


@dataclass(slots=True)
class StallRule:
    """Told what is seen, it says whether that has gone on for `limit` seconds. Times are those of one clock.

    `alive_at`: when work was last seen to be done, or the probe answered. `asked_at`: a probe is under way,
    for which there are `grace` seconds.
    """

    limit: float
    grace: float
    began_at: float
    heard_at: float = field(init=False)
    alive_at: float = field(init=False)
    asked_at: float | None = None
    _signs: dict[bytes, list[bytes]] = field(default_factory=dict)
    _busy_since: dict[bytes, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begin_anew(self.began_at)

    def begin_anew(self, now: float) -> None:
        """What was before is forgotten: nobody has looked for a while."""
        self.heard_at = self.alive_at = now
        self.asked_at = None if self.asked_at is None else now
        self._busy_since = dict.fromkeys(self._busy_since, now)

    def see(self, vitals: EngineCounters, now: float) -> None:
        """A look at the counters."""
        self.heard_at = now
        for name, core in vitals.cores.items():
            moved = core.signs != self._signs.get(name)
            if moved:
                self._signs[name] = core.signs
                self.alive_at = now
            if moved or not core.running:
                self._busy_since[name] = now

    def asked(self, now: float) -> None:
        """A probe is sent."""
        self.asked_at = now

    def answered(self, now: float, *, by_the_model: bool) -> None:
        """The probe is over; what the model itself answers is a sign of life."""
        self.asked_at = None
        if by_the_model:
            self.alive_at = now

    def due(self) -> tuple[float, ...]:
        """When there will be a verdict, if nothing is seen before."""
        asked = () if self.asked_at is None else (self._probe_due(self.asked_at),)
        return (self.heard_at + self.limit, *asked, *(at + self.limit for at in self._busy_since.values()))

    def _probe_due(self, asked_at: float) -> float:
        """Whoever has just worked may still be at it."""
        return max(self.alive_at + self.limit, asked_at + self.grace)

    def verdict(self, now: float) -> str | None:
        """What is wrong, if that has lasted long enough."""
        if now - self.heard_at >= self.limit:
            return f"the engine has not answered for {now - self.heard_at:.0f} s"
        asked = self.asked_at
        if asked is not None and now >= self._probe_due(asked):
            return f"a probe of one token has had no answer for {now - asked:.0f} s"
        busy = max((now - since for since in self._busy_since.values()), default=0.0)
        if busy >= self.limit:
            return f"requests are running, and for {busy:.0f} s none of them has got on"
        return None
