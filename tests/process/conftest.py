"""Services in temporary directories; each test fails if a process outlives it."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nim.cleanup.read_and_watch_processes import all_processes, below
from nim.plan import Plan
from nim.supervision.supervisord.start_supervisord import adopt_orphans
from tests.fakes.launch import wait_until
from tests.process.plans import make_plan
from tests.process.service import Service

Start = Callable[..., Service]


@pytest.fixture(autouse=True)
def hangups_are_heard() -> Iterator[None]:
    """Restore SIGHUP, which `nohup` makes services ignore."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Yield a function that starts a service from a plan, or from the mood of a fake engine."""
    adopt_orphans()  # whatever escapes a service becomes our child, and is seen
    before = {process.pid for process in below(os.getpid(), all_processes())}
    services: list[Service] = []

    def run(
        plan: Plan | None = None, *, fast_restarts: bool = False, unread: bool = False, **mood: Any
    ) -> Service:
        service = Service(
            plan or make_plan(directory, **mood), directory, fast_restarts=fast_restarts, unread=unread
        )
        services.append(service)
        return service

    yield run
    ended = [service.process.poll() is not None for service in services]
    for service in services:
        end(service)
    escaped = [p for p in below(os.getpid(), all_processes()) if p.pid not in before and p.state not in "ZX"]
    for process in escaped:
        os.kill(process.pid, signal.SIGKILL)
    assert not escaped, "processes outlived their service"
    assert all(ended), "a test has left its service running"


def end(service: Service) -> None:
    """Kill the service of a failed test."""
    if service.process.poll() is None:
        tree = service.processes()
        service.process.kill()
        for process in tree:
            process.send(signal.SIGKILL)
        service.process.wait()
        wait_until(lambda: not any(process.alive for process in tree), "the end of its processes")
    service.stderr.close()
