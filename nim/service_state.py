"""The state of the service, written only by the controller and read by everything that answers."""

import json
from dataclasses import asdict
from enum import StrEnum
from typing import Any, Self

from nim.frozen_dataclass import frozen_dataclass


class Phase(StrEnum):
    """Phases of a start, in order. `UNKNOWN` is a phase whose log lines are not recognised."""

    SELECT = "select"
    FETCH = "fetch"
    LOAD = "load"
    COMPILE = "compile"
    WARM_UP = "warm-up"
    READY = "ready"
    STALLED = "stalled"
    DRAINING = "draining"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@frozen_dataclass
class PhaseDone:
    """A finished phase and its duration."""

    phase: Phase
    seconds: float


@frozen_dataclass
class Failure:
    """Why the engine was last lost: class, message, hint, end of its log."""

    kind: str
    message: str
    hint: str
    log: tuple[str, ...]
    exit_code: int | None
    signal: int | None


@frozen_dataclass
class DownloadState:
    """What of the model is on disk, while or after a start downloaded it. None: unknown."""

    have_bytes: int
    total_bytes: int | None = None
    bytes_per_second: float | None = None


@frozen_dataclass
class State:
    """The state of the service at one moment. Times are Unix seconds; `progress` is 0 to 1 or None."""

    phase: Phase
    message: str
    started_at: float
    phase_since: float
    ready: bool = False
    progress: float | None = None
    eta_seconds: float | None = None
    done: tuple[PhaseDone, ...] = ()
    restarts: tuple[tuple[str, int], ...] = ()
    stalls: int = 0
    failure: Failure | None = None
    reloads: int = 0
    refused_reloads: int = 0
    certificate_expires_at: float | None = None
    download: DownloadState | None = None

    def to_json(self) -> str:
        """Return the state as the text of one JSON object, readable by `from_json`."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the State in text that `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        data["phase"] = Phase(data["phase"])
        data["done"] = tuple(PhaseDone(phase=Phase(d["phase"]), seconds=d["seconds"]) for d in data["done"])
        data["restarts"] = tuple((kind, count) for kind, count in data["restarts"])
        failure = data["failure"]
        data["download"] = DownloadState(**data["download"]) if data["download"] else None
        data["failure"] = Failure(**failure | {"log": tuple(failure["log"])}) if failure else None
        return cls(**data)

    def health(self) -> str:
        """Return the JSON text of a readiness answer that is not 200."""
        body = {
            "object": "health.response",
            "message": self.message,
            "status": "not_ready",
            "phase": self.phase.value,
            "progress": self.progress,
            "eta_seconds": self.eta_seconds,
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
