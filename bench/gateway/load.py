"""Run the load client and read its result."""

import json
import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gateway.cores import Cores, on
from bench.gateway.native import Programs
from bench.gateway.running import Target

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A distribution, in microseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the client saw between two instants, and what the watched processes used between them."""

    seconds: float
    requests: int
    events: int
    merged: int
    errors: int
    error: str
    cpu_us: tuple[float, ...]
    latency: Series | None
    first: Series | None
    gap: Series | None
    delay: Series | None

    def quantiles(self, name: str) -> dict[str, float]:
        """Return a series as figures; none where nothing of it was seen."""
        series: Series | None = getattr(self, name)
        return {} if series is None else {f"{name}_p50": series.p50, f"{name}_p99": series.p99}


def read(text: str) -> Reading:
    """Return the client's own words."""
    data: dict[str, Any] = json.loads(text)
    named = {
        name: Series(**data[name]) if data[name] else None for name in ("latency", "first", "gap", "delay")
    }
    return Reading(**data | named | {"cpu_us": tuple(data["cpu_us"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How a target is loaded. `urgent` puts the client before everything else on its core."""

    request: Path
    connections: int = 1
    warm_seconds: float = 0.3
    seconds: float = 1.0
    pause_us: int = 0
    stagger_us: int = 0
    every_event: bool = False
    hold: bool = False
    urgent: bool = False

    def arguments(self) -> list[str]:
        """Return the arguments for the load client."""
        numbers = {
            "-c": self.connections,
            "-w": self.warm_seconds,
            "-t": self.seconds,
            "-i": self.pause_us,
            "-s": self.stagger_us,
        }
        words = [word for letter, number in numbers.items() for word in (letter, str(number))]
        return words + ["-a"] * self.every_event + ["-H"] * self.hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The compiled client, on its core where it has one."""

    programs: Programs
    cores: Cores | None

    def start(self, target: Target, load: Load) -> "subprocess.Popen[str]":
        """Start the load client; `finish` waits for its result."""
        pids = ",".join(map(str, target.pids))
        argv = [str(self.programs.client), *load.arguments(), *(["-p", pids] if pids else [])]
        argv += [target.address, str(load.request)]
        command = on(self.cores.client, argv) if self.cores else argv
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if load.urgent:
            with suppress(PermissionError):  # not root: its own waits are measured with the rest
                os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(1))
        return process

    def finish(self, process: "subprocess.Popen[str]", load: Load) -> Reading:
        """Return the reading, when it is over."""
        with process:
            try:
                said, _ = process.communicate(timeout=load.warm_seconds + load.seconds + PATIENCE_SECONDS)
            except BaseException:
                process.kill()
                raise
        return read(said)

    def run(self, target: Target, load: Load) -> Reading:
        """Load the target; return the reading."""
        return self.finish(self.start(target, load), load)
