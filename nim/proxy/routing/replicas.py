"""What the router knows of each replica, and of each model: which replicas have it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nim.proxy.backend_services import Backend
from nim.proxy.upstreams import Place, is_elsewhere

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
# A request that breaks may be the request's own fault; so many in a row are not.
BROKEN_IN_A_ROW = 3

Card = dict[str, Any]


@dataclass(slots=True, kw_only=True, eq=False)
class Replica:
    """One replica. `since` is the generation of nginx's configuration that first has its group, None without.

    `location_since` is the one that first has the location; workers without the group are told its address.
    `ready` is what its own health route says, None if it was not asked yet; after failures it is not used
    before `out_until`. `cards` are the models it lists, kept while it is down; None if it never answered.
    """

    place: Place
    backend: Backend
    key: str | None = None
    since: int | None = None
    location_since: int = 0
    running: int = 0
    chosen_at: int = 0
    ready: bool | None = None
    why: str = "not asked yet"
    eta_seconds: float | None = None
    cards: Mapping[str, Card] | None = None
    failures: int = 0
    broken: int = 0
    out_until: float = 0.0
    requests: int = 0
    accepted: bytes = b""
    accepted_by_address: bytes = b""

    def __post_init__(self) -> None:
        self.belong(self.place, self.backend, self.key)

    def belong(self, place: Place, backend: Backend, key: str | None) -> None:
        """Take over its backend's present description; what runs on it and what is known of it stay."""
        self.place, self.backend, self.key = place, backend, key
        self.accepted = self._acceptance(self.name)
        self.accepted_by_address = self._acceptance(self.place.addresses[0])

    @property
    def name(self) -> str:
        """Return the name of its group in nginx."""
        return self.place.name

    @property
    def label(self) -> str:
        """Return how it is shown: its URL, and its address where the URL has a name."""
        url = self.place.url
        if len(self.place.addresses) != 1 or url.host in self.place.addresses[0]:
            return url.text
        return f"{url.text} ({self.place.addresses[0]})"

    def usable(self, now: float, generation: int) -> bool:
        """Return whether a request of an nginx worker of this generation can be sent to it now."""
        return bool(self.ready and self.out_until <= now and self.location_since <= generation)

    def acceptance(self, generation: int) -> bytes:
        """Return the answer to an nginx worker of this generation that sends a request here."""
        known = self.since is not None and self.since <= generation
        return self.accepted if known else self.accepted_by_address

    def connection_failed(self, now: float) -> None:
        """Take it out, twice as long after each failure in a row."""
        self.failures += 1
        pause = FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures - 1, 16)
        self.out_until = now + min(pause, LONGEST_PAUSE_SECONDS)

    def request_broke(self, now: float) -> None:
        """Count a request that it took and did not answer; take it out when several in a row are."""
        self.broken += 1
        if self.broken >= BROKEN_IN_A_ROW:
            self.connection_failed(now)

    def answered(self) -> None:
        """Note that it answered a request: all is well again."""
        self.failures = self.broken = 0
        self.out_until = 0.0

    def _acceptance(self, host: str) -> bytes:
        """Return the answer to nginx that sends a request here: to the group, or to the address."""
        lines = ["HTTP/1.1 200 OK", f"X-Nim-Replica: {host}"]
        if is_elsewhere(self.backend, self.place):
            url = self.place.url
            lines += ["X-Accel-Redirect: @external", f"X-Nim-Url: {url.scheme}://{host}{url.path}"]
            lines += [f"X-Nim-Host: {url.authority}", f"X-Nim-Name: {url.host}"]
            lines += [f"X-Nim-Key: Bearer {self.key}"] if self.key else []
        else:
            lines.append("X-Accel-Redirect: @backend")
        return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()


@dataclass(slots=True, kw_only=True, eq=False)
class Target:
    """What a model's name stands for: the replicas that have it, and its name there if that is another.

    Without replicas: `state` says whether it is offline or retired, or that it will come back.
    """

    backend: Backend
    replicas: list[Replica] = field(default_factory=list)
    written_as: str | None = None
    state: str = "serving"
