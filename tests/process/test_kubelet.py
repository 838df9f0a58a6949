"""The real gateway and PID 1 under the probes of the shipped manifest, sped up."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import manifest, pod_of
from tests.gateway.nginx import free_port
from tests.kubelet import Event, Judge, Kubelet, Probe, ports_of
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service

pytestmark = pytest.mark.slow

CONTAINER = pod_of(manifest("demo.yaml")).container
SECONDS = 60.0


def with_health_port(directory: Path, **mood: Any) -> Any:
    plan = make_plan(directory, **mood)
    return rendered(plan, gateway=replace(plan.gateway, health_port=free_port()))


def kubelet_of(service: Service, speed: float) -> Kubelet:
    """Return its ports are where this service has them."""
    gateway = service.plan.gateway
    assert gateway.health_port
    return Kubelet(
        CONTAINER, ports_of(CONTAINER, {8000: gateway.server_port, 8081: gateway.health_port}), speed
    )


def forever() -> bool:
    return False


def test_a_service_is_started_ready_lost_ready_again_and_stopped(start: Start, directory: Path) -> None:
    service = start(with_health_port(directory, phases={"load": 0.5}, core_death=0.1))
    seen = []
    for event in kubelet_of(service, speed=20).watch(until=forever, seconds=SECONDS):
        seen.append(event)
        if seen.count(Event.UNREADY) == 2:
            break
        if event is Event.READY and Event.UNREADY not in seen:
            service.kill(service.core)
        elif event is Event.READY:
            service.send(signal.SIGTERM)
    lost_and_back = [Event.READY, Event.UNREADY] * 2
    assert seen == [Event.STARTED, *lost_and_back]
    assert service.wait() == 0, service.text[-3000:]


def test_a_start_that_hangs_is_killed_when_its_window_is_over_and_not_before(
    start: Start, directory: Path
) -> None:
    service = start(with_health_port(directory, hang_in="load")).wait_live()
    kubelet = kubelet_of(service, speed=400)
    assert list(kubelet.watch(until=forever, seconds=SECONDS)) == [Event.KILLED_STARTING]
    assert kubelet.asked == {"startupProbe": CONTAINER["startupProbe"]["failureThreshold"]}
    service.stop()


def test_a_gateway_that_does_not_answer_is_killed_by_the_liveness_probe(
    start: Start, directory: Path
) -> None:
    service = start(with_health_port(directory)).wait_ready()
    kubelet = kubelet_of(service, speed=20)
    seen = []
    with paused(service) as pause:
        for event in kubelet.watch(until=forever, seconds=SECONDS):
            seen.append(event)
            if event is Event.READY:
                pause()
    assert seen == [Event.STARTED, Event.READY, Event.UNREADY, Event.KILLED_DEAD]
    service.stop()


@contextmanager
def paused(service: Service) -> Iterator[Callable[[], None]]:
    """Yield a function that pauses nginx; continue it at the end."""
    workers = service.find(r"nginx: ")

    def pause() -> None:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)

    try:
        yield pause
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("answers", "verdicts"),
    [
        ("", []),
        ("..", []),
        ("xx.xx.xx", []),
        ("xxx", [False]),
        ("xx.xxxx", [False]),
        ("xxx.x..", [False, True]),
    ],
)
def test_a_verdict_takes_as_many_answers_in_a_row_as_the_manifest_says(
    answers: str, verdicts: list[bool]
) -> None:
    judge = Judge(probe=Probe.read(CONTAINER["livenessProbe"]), due=0, verdict=True)
    changes = [judge.take(answer == ".") for answer in answers]
    assert [change for change in changes if change is not None] == verdicts


def test_what_a_probe_leaves_out_is_as_kubernetes_has_it() -> None:
    probe = Probe.read({"httpGet": {"path": "/", "port": 80}})
    assert (probe.delay, probe.period, probe.timeout, probe.successes, probe.failures) == (0, 10, 1, 1, 3)
