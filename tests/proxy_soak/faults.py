"""What happens to replicas, file, router and nginx while requests run, and which outcomes each excuses."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.fakes.launch import wait_until
from tests.proxy.conftest import backends
from tests.proxy.running import Proxy
from tests.proxy_soak.clients import CUT, EVENTS, HONEST, NOTHING
from tests.proxy_soak.replica import MODEL, Replica

REPLICAS = 3
WAIT_SECONDS = 1


class Scene:
    """A proxy before three replicas of one model; a fourth waits to be added."""

    def __init__(self, directory: Path, rng: Random) -> None:
        self.rng = rng
        self.replicas = [Replica(directory) for _ in range(REPLICAS)]
        self.spare = Replica(directory)
        for one in (*self.replicas, self.spare):
            one.start()
            one.order(event_pause=0.02, events=EVENTS)
        self.proxy = Proxy(directory, self.file(*self.replicas), NIM_PROXY_READ_TIMEOUT=f"{WAIT_SECONDS}")

    def file(self, *replicas: Replica) -> str:
        """Return the text of a file with these replicas."""
        urls = [one.url for one in replicas]
        old = {"name": "old", "models": ["org/old"], "state": "retired"}
        return backends({"name": "a", "urls": urls, "models": [MODEL]}, old)

    def any(self) -> Replica:
        return self.rng.choice(self.replicas)

    def ready(self) -> set[str]:
        """Return the URLs of the replicas that are ready."""
        return {each["url"] for each in self.shown() if each["ready"]}

    def shown(self) -> list[Any]:
        """Return the replicas as the router shows them; none while it does not answer."""
        found = self.proxy.get("/v1/health/ready").json.get("backends", ())
        return [each for one in found for each in one["replicas"]]

    def wait_for(self, *replicas: Replica) -> None:
        """Wait until exactly these replicas are ready."""
        wanted = {one.url for one in replicas}
        wait_until(lambda: self.proxy.is_up() and self.ready() == wanted, "the ready replicas")

    def idle(self) -> bool:
        """Return whether the router counts no running request."""
        return all(each["running"] == 0 for each in self.shown())

    def state(self) -> str:
        """Return what the proxy says of itself."""
        return "\n".join([*self.proxy.lines[-20:], json.dumps(self.shown(), indent=1)])

    def but(self, gone: Replica) -> list[Replica]:
        return [one for one in self.replicas if one is not gone]

    def close(self) -> int:
        """Stop all; return the proxy's exit code."""
        code = self.proxy.stop()
        for one in (*self.replicas, self.spare):
            one.kill()
        return code


Play = Callable[[Scene], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault, named as its function; `excuses` are the outcomes that requests may have besides whole."""

    play: Play
    excuses: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.play.__name__.replace("_", " ")


FAULTS: list[Fault] = []


def fault(*excuses: str) -> Callable[[Play], Play]:
    """Add a function to the faults."""

    def add(play: Play) -> Play:
        FAULTS.append(Fault(play=play, excuses=excuses))
        return play

    return add


def draw(rng: Random, rounds: int, named: str) -> Iterator[Fault]:
    """Yield a fault for each round: all once, in a random order, before one comes again."""
    deck: list[Fault] = []
    for _ in range(rounds):
        deck = deck or rng.sample(found := [one for one in FAULTS if named in one.name], len(found))
        yield deck.pop()


# A replica that breaks: what it was answering is lost, and said so where nothing was sent yet.


@fault(HONEST, CUT)
def a_replica_is_killed(scene: Scene) -> None:
    gone = scene.any()
    gone.kill()
    scene.wait_for(*scene.but(gone))
    gone.start()
    gone.order(event_pause=0.02, events=EVENTS)


@fault(HONEST, CUT)
def a_replica_is_frozen(scene: Scene) -> None:
    frozen = scene.any()
    frozen.send(signal.SIGSTOP)
    try:
        scene.wait_for(*scene.but(frozen))
    finally:
        frozen.send(signal.SIGCONT)


@fault(HONEST)
def a_replica_breaks_requests_off(scene: Scene) -> None:
    broken = scene.any()
    broken.order(break_after_body=True)
    time.sleep(0.5)
    broken.order(break_after_body=False)


# The proxy's own processes.


@fault(HONEST)
def the_router_is_killed(scene: Scene) -> None:
    killed = scene.proxy.pid_of("nim.proxy")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: _other_router(scene, killed), "another router")


@fault(NOTHING, CUT)
def a_worker_of_nginx_is_killed(scene: Scene) -> None:
    master = (scene.proxy.run_dir / "nginx.pid").read_text().strip()
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    os.kill(int(scene.rng.choice(children)), signal.SIGKILL)


def _other_router(scene: Scene, killed: int) -> bool:
    try:
        return scene.proxy.pid_of("nim.proxy") != killed
    except AssertionError:
        return False


# What must lose nothing.


@fault()
def a_replica_drains(scene: Scene) -> None:
    draining = scene.any()
    draining.order(ready=False)
    scene.wait_for(*scene.but(draining))
    draining.order(ready=True)


@fault()
def a_replica_is_slow(scene: Scene) -> None:
    slow = scene.any()
    slow.order(delay=0.5)
    time.sleep(1.5)
    slow.order(delay=0.0)


@fault()
def a_replica_is_added_and_removed(scene: Scene) -> None:
    scene.proxy.write(scene.file(*scene.replicas, scene.spare))
    scene.wait_for(*scene.replicas, scene.spare)
    scene.proxy.write(scene.file(*scene.replicas))


@fault()
def a_replica_is_replaced(scene: Scene) -> None:
    gone = scene.any()
    scene.proxy.write(scene.file(*scene.but(gone), scene.spare))
    scene.wait_for(*scene.but(gone), scene.spare)
    scene.proxy.write(scene.file(*scene.replicas))


@fault()
def the_file_is_broken_and_repaired(scene: Scene) -> None:
    before = len(scene.proxy.lines)
    scene.proxy.write("backends: [")
    refused = "the backends stay as they were"
    wait_until(lambda: any(refused in line for line in scene.proxy.lines[before:]), "the refusal")
    scene.proxy.write(scene.file(*scene.replicas))
