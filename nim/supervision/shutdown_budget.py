"""How the seconds of one stop are shared out."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownBudget:
    """Seconds, one part after the other. Together they are what a stop may take.

    `settle`: not ready, but new work is still taken, as the news spreads. `drain`: no new work, what runs
    may end. `engine`: the engine tears down. `kill`: what is left is killed, and the supervisor ends.
    """

    settle: float
    drain: float
    engine: float
    kill: float

    @classmethod
    def of(cls, total: float, *, serving: bool) -> Self:
        """A service that never served has nobody to tell and nothing to drain."""
        settle = min(3.0, total * 0.12)
        engine = min(7.5, total * 0.4)
        kill = min(1.5, total * 0.1)
        drain = max(total - settle - engine - kill, 0)
        if not serving:
            settle, engine = 0.0, engine + settle
        return cls(settle=settle, drain=drain, engine=engine, kill=kill)

    @property
    def cut(self) -> float:
        """When nginx itself cuts what still runs: early enough to name that within the time to drain."""
        return self.drain - min(0.5, self.drain * 0.1)
