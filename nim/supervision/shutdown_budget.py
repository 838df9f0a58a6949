"""Divide the seconds of a shutdown between its stages."""

from typing import Self

from nim.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class ShutdownBudget:
    """Seconds for each stage of a shutdown, in order; their sum is the whole time allowed.

    `settle`: not ready, but still serving, while load balancers notice. `drain`: no new requests, running
    ones may finish. `engine`: the engine shuts down. `kill`: what is left is killed and supervisord ends.
    """

    settle: float
    drain: float
    engine: float
    kill: float

    @classmethod
    def of(cls, total: float, *, serving: bool) -> Self:
        """Return the ShutdownBudget for `total` seconds; not `serving`, it has no time to settle."""
        settle = min(3.0, total * 0.12)
        engine = min(7.5, total * 0.4)
        kill = min(1.5, total * 0.1)
        drain = max(total - settle - engine - kill, 0)
        if not serving:
            settle, engine = 0.0, engine + settle
        return cls(settle=settle, drain=drain, engine=engine, kill=kill)

    @property
    def cut(self) -> float:
        """Return the seconds from the start of the drain until nginx cuts streams, in time to log them."""
        return self.drain - min(0.5, self.drain * 0.1)
