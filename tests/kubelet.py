"""Acts as the kubelet does: reads a container's probes from its manifest and judges a service that runs.

`speed` shortens delays and periods, never time-outs: a probe that answers in time does so at any speed.
"""

import http.client
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Event(StrEnum):
    """What the kubelet would do or tell."""

    STARTED = "started"
    READY = "ready"
    UNREADY = "unready"
    KILLED_STARTING = "killed: the startup probe's time is over"
    KILLED_DEAD = "killed: the liveness probe has failed"


KILLED = (Event.KILLED_STARTING, Event.KILLED_DEAD)
# The others are asked when the first of them has succeeded.
STARTING = ("startupProbe",)
RUNNING = ("livenessProbe", "readinessProbe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probe; times in seconds, with Kubernetes' own defaults."""

    path: str
    port: str | int
    delay: float = 0
    period: float = 10
    timeout: float = 1
    successes: int = 1
    failures: int = 3

    @classmethod
    def read(cls, probe: Mapping[str, Any]) -> "Probe":
        """Return the probe in a manifest."""
        named = {
            "delay": "initialDelaySeconds",
            "period": "periodSeconds",
            "timeout": "timeoutSeconds",
            "successes": "successThreshold",
            "failures": "failureThreshold",
        }
        said = {name: probe[key] for name, key in named.items() if key in probe}
        return cls(path=probe["httpGet"]["path"], port=probe["httpGet"]["port"], **said)


@dataclass
class Judge:
    """Counts answers in a row; `verdict` changes when a threshold is reached."""

    probe: Probe
    due: float
    verdict: bool | None = None
    _same: int = 0
    _last: bool | None = None

    def take(self, good: bool) -> bool | None:
        """Return the new verdict, or None if nothing has changed."""
        self._same = self._same + 1 if good is self._last else 1
        self._last = good
        enough = self.probe.successes if good else self.probe.failures
        if self._same < enough or self.verdict is good:
            return None
        self.verdict = good
        return good


@dataclass
class Kubelet:
    """`ports` maps a port's name, or its number in the manifest, to where it is reached here."""

    container: Mapping[str, Any]
    ports: Mapping[str | int, int]
    speed: float = 1.0
    host: str = "127.0.0.1"
    asked: dict[str, int] = field(default_factory=dict)
    ready: bool = False

    def watch(self, *, until: Callable[[], bool], seconds: float) -> Iterator[Event]:
        """Yield events as they happen, until `until`, the end of time, or the container would be killed."""
        begun = time.monotonic()
        judges = self._judges(STARTING, begun) or self._judges(RUNNING, begun)
        while judges and time.monotonic() < begun + seconds and not until():
            event = self._next(judges)
            if event in (Event.READY, Event.UNREADY):
                self.ready = event is Event.READY
            if event is Event.STARTED:
                judges = self._judges(RUNNING, begun)
            if event:
                yield event
            if event in KILLED:
                return

    def _next(self, judges: Mapping[str, Judge]) -> Event | None:
        """Wait a little for the probe that is due first, and ask if it is due."""
        name = min(judges, key=lambda one: judges[one].due)
        judge = judges[name]
        time.sleep(min(max(judge.due - time.monotonic(), 0), 0.05))
        if time.monotonic() < judge.due:
            return None
        judge.due = time.monotonic() + judge.probe.period / self.speed
        return _event(name, judge.take(self._good(name, judge.probe)))

    def _judges(self, names: Iterable[str], begun: float) -> dict[str, Judge]:
        probes = {name: Probe.read(self.container[name]) for name in names if name in self.container}
        return {
            name: Judge(probe=probe, due=begun + probe.delay / self.speed, verdict=_at_first(name))
            for name, probe in probes.items()
        }

    def _good(self, name: str, probe: Probe) -> bool:
        """Return any answer from 200 to 399, within the time-out, as a whole."""
        self.asked[name] = self.asked.get(name, 0) + 1
        link = http.client.HTTPConnection(self.host, self.ports[probe.port], timeout=probe.timeout)
        begun = time.monotonic()
        try:
            link.request("GET", probe.path, headers={"User-Agent": "kube-probe/1.35", "Connection": "close"})
            answer = link.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            link.close()
        return 200 <= answer.status < 400 and time.monotonic() - begun <= probe.timeout


def _at_first(name: str) -> bool | None:
    """Return a container counts as alive and as not ready until it is shown otherwise."""
    return {"livenessProbe": True, "readinessProbe": False}.get(name)


def _event(name: str, verdict: bool | None) -> Event | None:
    if verdict is None:
        return None
    said = {
        "startupProbe": (Event.KILLED_STARTING, Event.STARTED),
        "livenessProbe": (Event.KILLED_DEAD, None),
        "readinessProbe": (Event.UNREADY, Event.READY),
    }
    return said[name][verdict]


def ports_of(container: Mapping[str, Any], moved: Mapping[int, int] | None = None) -> dict[str | int, int]:
    """Return names and numbers of its ports; `moved` says where a number is reached from here."""
    found: dict[str | int, int] = {}
    for port in container["ports"]:
        number = port["containerPort"]
        found |= {key: (moved or {}).get(number, number) for key in (port["name"], number)}
    return found
