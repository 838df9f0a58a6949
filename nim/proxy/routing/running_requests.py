"""The requests that run, from the decision until nginx says how each ended."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from nim.proxy.routing.replicas import Replica, Target

# So many ends of requests that never began are remembered: most are refusals, for which no beginning follows.
MOST_EARLY_ENDS = 4096


@dataclass(slots=True, kw_only=True, eq=False)
class Flight:
    """One request on its way. `tried` are replicas that took no connection for it; `worker` is nginx's pid.

    `hit`: whether the replica was chosen for the prompt's beginning that it has; None without such a choice.
    """

    replica: Replica
    target: Target
    model: str
    route: str = ""
    generation: int = 0
    worker: int = 0
    tried: list[Replica] = field(default_factory=list)
    hit: bool | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Ending:
    """How a request ended, as nginx logged it. Times in seconds; None for what never came."""

    route: str
    status: int
    seconds: float
    connected: bool
    first_byte_seconds: float | None
    upstream_status: int | None
    flight: Flight | None


class Flights:
    """All running requests. `ended` gets each Ending, `began_in` the pid of the worker that asked."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._by_key: dict[bytes, Flight] = {}
        self._early_ends: OrderedDict[bytes, None] = OrderedDict()
        self._rest = b""
        self.began_in: Callable[[int], None] = lambda _: None
        self.ended: Callable[[Ending], None] = lambda _: None

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: bytes) -> Flight | None:
        """Return the running request with this key; None if it has ended or is unknown."""
        return self._by_key.get(key)

    def begin(self, key: bytes, flight: Flight) -> None:
        """Count a request as running on its replica, unless nginx has already written that it ended.

        That happens when a client leaves while the question waits to be read.
        """
        flight.replica.requests += 1
        if key in self._early_ends:
            del self._early_ends[key]
            return
        self._by_key[key] = flight
        flight.replica.running += 1
        self.began_in(flight.worker)

    def move(self, flight: Flight, replica: Replica) -> None:
        """Count a request as running on another replica than before."""
        flight.replica.running -= 1
        flight.replica = replica
        replica.running += 1
        replica.requests += 1

    def worker_ended(self, worker: int) -> int:
        """Forget the requests of a worker of nginx that is gone; return how many it left unfinished."""
        left = [key for key, flight in self._by_key.items() if flight.worker == worker]
        for key in left:
            self._by_key.pop(key).replica.running -= 1
        return len(left)

    def read(self, data: bytes) -> None:
        """Take over lines that nginx wrote: `key route status seconds bytes|connected|first byte|status`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                self._end(line)
            except (ValueError, IndexError):
                continue  # not a line of nginx

    def _end(self, line: bytes) -> None:
        """Count the request of a line as ended; ValueError for another line."""
        head, connected, first, upstream = line.split(b"|")
        key, route, status, seconds, _sent = head.split(b" ")
        flight = self._by_key.pop(key, None)
        first_byte, upstream_status = last_value(first), last_value(upstream)
        was_connected = last_value(connected) is not None
        if flight is None:
            self._note_early_end(key)
        else:
            flight.replica.running -= 1
            # Failures were noted when nginx reported them.
            if was_connected and upstream_status and upstream_status not in (b"502", b"504"):
                flight.replica.answered()
        self.ended(
            Ending(
                route=route.decode(),
                status=int(status),
                seconds=float(seconds),
                connected=was_connected,
                first_byte_seconds=float(first_byte) if first_byte else None,
                upstream_status=int(upstream_status) if upstream_status else None,
                flight=flight,
            )
        )

    def _note_early_end(self, key: bytes) -> None:
        """Remember for a while that a request ended of which no beginning is known."""
        self._early_ends[key] = None
        if len(self._early_ends) > MOST_EARLY_ENDS:
            self._early_ends.popitem(last=False)


def last_value(values: bytes) -> bytes | None:
    """Return the value of the last attempt in a variable of nginx; None where it has none.

    Those of several attempts are separated by ", " and " : ".
    """
    last = values.rpartition(b" ")[2]
    return last if last and last != b"-" else None
