"""Health probes are answered with all connections in use, a busy engine, at any moment."""

import http.client
import json
import os
import re
import signal
import socket
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nim.plan import Plan
from tests.fakes.launch import wait_until
from tests.gateway.nginx import free_port
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service

pytestmark = pytest.mark.slow

# With so few open files a worker has a little over a hundred places for requests.
OPEN_FILES = 512
FOR_EVER = 1_000_000
HALF_SENT = 1_600
LATE = 100
# A slow client in three has a stream, with two connections.
SLOW_CLIENTS, SLOW_OPEN_FILES = 1_000, 4_096


def calm(directory: Path, **mood: Any) -> Plan:
    """Return a plan whose end is granted time, on a busy machine too."""
    return rendered(make_plan(directory, **mood), shutdown_timeout_seconds=12.0)


def health(port: int | None, name: str) -> int:
    """Return the status of a health route on some port."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    link.request("GET", f"/v1/health/{name}")
    status = link.getresponse().status
    link.close()
    return status


def ask(service: Service) -> http.client.HTTPResponse:
    """Return a stream that is open."""
    link = http.client.HTTPConnection("127.0.0.1", service.plan.gateway.server_port, timeout=60)
    body = json.dumps({"prompt": "x", "stream": True, "max_tokens": FOR_EVER})
    link.request("POST", "/v1/completions", body, {"Connection": "close"})
    return link.getresponse()


def test_live_and_ready_answer_while_every_place_is_taken(start: Start, directory: Path) -> None:
    plan = make_plan(directory, tokens=FOR_EVER, stall_after=1)
    gateway = replace(plan.gateway, health_port=free_port())
    plan = rendered(plan, open_files=OPEN_FILES, shutdown_timeout_seconds=3.0, gateway=gateway)
    service = start(plan).wait_ready()
    streams = [ask(service)]
    while streams[-1].status == 200 and len(streams) < OPEN_FILES:
        streams.append(ask(service))
    assert streams[-1].status == 429
    assert len(streams) > OPEN_FILES / 8
    for _ in range(50):
        assert service.live()
        assert service.ready()
        assert health(gateway.health_port, "live") == health(gateway.health_port, "ready") == 200
    assert service.get("/v1/health/startup")[0] == 200
    assert service.get("/v1/metrics")[0] == 200
    for stream in streams:
        stream.close()
    service.send(signal.SIGTERM)
    service.wait()


def open_with(stack: ExitStack, port: int, sent: bytes) -> None:
    """Leave a connection open on which this was sent; what becomes of it does not matter."""
    link = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
    with suppress(OSError):
        link.sendall(sent)


def test_half_sent_headers_neither_shut_probes_out_nor_fill_the_log(start: Start, directory: Path) -> None:
    """They take all places of the API's port, and nginx writes a line for each connection beyond."""
    plan = make_plan(directory)
    gateway = replace(plan.gateway, health_port=free_port())
    plan = rendered(plan, open_files=OPEN_FILES, shutdown_timeout_seconds=12.0, gateway=gateway)
    service = start(plan).wait_ready()
    with ExitStack() as stack:
        for _ in range(HALF_SENT):
            open_with(stack, gateway.server_port, b"GET /v1/models HTTP/1.1\r\nHost: a\r\n")
        wait_until(lambda: service.get("/v1/health/live")[0] == 0, "a gateway without places")
        for _ in range(50):
            assert health(gateway.health_port, "live") == health(gateway.health_port, "ready") == 200
    wait_until(lambda: service.live() and service.ready(), "places for all")
    service.wait_said("more lines of this kind, the last: ")
    assert service.stop() == 0, service.text[-3000:]
    lines = [line for line in service.lines if "worker_connections are not enough" in line]
    counted = [int(match[1]) for line in lines if (match := re.search(r"\] (\d+) more lines of", line))]
    assert sum(counted) > len(lines)


@pytest.mark.parametrize("as_json", [False, True])
def test_requests_that_never_arrive_do_not_fill_the_log(start: Start, directory: Path, as_json: bool) -> None:
    plan = make_plan(directory)
    gateway = replace(plan.gateway, header_timeout_seconds=1)
    plan = rendered(plan, shutdown_timeout_seconds=3.0, json_logs=as_json, gateway=gateway)
    service = start(plan).wait_ready()
    with ExitStack() as stack:
        for _ in range(LATE):
            open_with(stack, gateway.server_port, b"GET /v1/models HTTP/1.1\r\nHost: a\r\n")
        service.wait_said("more lines of this kind, the last: ")
    assert service.stop() == 0, service.text[-3000:]
    written = [line for line in service.lines if re.search(r'gateway\] \S+( \S+)? 408|"status":408', line)]
    counted = [re.search(r"(\d+) more lines of this kind, the last: ", line) for line in service.lines]
    assert len(written) < LATE / 2
    assert len(written) + sum(int(match[1]) for match in counted if match) >= LATE
    if as_json:
        assert all(json.loads(line) for line in service.lines if line.startswith("{"))


def test_a_thousand_slow_clients_hold_up_neither_probes_nor_a_client(start: Start, directory: Path) -> None:
    plan = make_plan(directory, tokens=FOR_EVER, stall_after=50)
    gateway = replace(plan.gateway, health_port=free_port())
    times = {"shutdown_timeout_seconds": 3.0, "stall_timeout_seconds": 600.0}  # late is not unready
    plan = rendered(plan, open_files=SLOW_OPEN_FILES, gateway=gateway, **times)
    service = start(plan).wait_ready()
    body = json.dumps({"prompt": "x", "stream": True, "max_tokens": FOR_EVER}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % len(body)
    parts = (head, head + b"\r\n" + body[:10], head + b"\r\n" + body)  # headers, a body, reading are slow
    with ExitStack() as stack:
        for number in range(SLOW_CLIENTS):
            open_with(stack, gateway.server_port, parts[number % len(parts)])
        for _ in range(20):
            for port in (gateway.server_port, gateway.health_port):
                assert health(port, "live") == health(port, "ready") == 200
            link = http.client.HTTPConnection("127.0.0.1", gateway.server_port, timeout=60)
            link.request("POST", "/v1/completions", '{"prompt":"x","max_tokens":3}')
            answer = link.getresponse()
            assert (answer.status, answer.read().count(b"choices")) == (200, 1)
            link.close()
    service.send(signal.SIGTERM)
    service.wait()


def metrics(service: Service) -> dict[str, float]:
    families = text_string_to_metric_families(service.get("/v1/metrics")[1].decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


@pytest.mark.parametrize("part", ["api_server", "core"])
def test_our_metrics_answer_while_the_engine_is_stopped(start: Start, directory: Path, part: str) -> None:
    """A stopped API server never answers: whatever comes, comes in spite of it."""
    service = start(calm(directory)).wait_ready()
    wait_until(lambda: metrics(service).get("nim_engine_up") == 1, "all metrics")
    pid = getattr(service, part)
    os.kill(pid, signal.SIGSTOP)
    for _ in range(3):
        seen = metrics(service)
        assert seen["nim_uptime_seconds"] > 0
        if part == "api_server":
            assert seen["nim_engine_up"] == 0
            assert not any(name.startswith("vllm:") for name in seen)
    assert service.live()
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: metrics(service).get("nim_engine_up") == 1, "all metrics again")
    assert service.stop() == 0, service.text[-3000:]


def test_metrics_answer_from_the_first_moment_on(start: Start, directory: Path) -> None:
    service = start(calm(directory, hang_in="load")).wait_live()
    wait_until(lambda: service.get("/v1/metrics")[0] == 200, "the middleware")
    assert metrics(service)["nim_ready"] == 0
    assert service.stop() == 0, service.text[-3000:]


def test_a_dead_engine_is_not_hidden_by_its_list_of_models(start: Start, directory: Path) -> None:
    """Whatever the API server still answers: without its core it is not ready, and it does not linger."""
    service = start(calm(directory, core_death=3600), fast_restarts=True).wait_ready()
    service.kill(service.core)
    wait_until(lambda: not service.ready(), "unready")
    assert service.live()
    service.wait_restarts(1)
    service.wait_ready()
    assert service.stop() == 0, service.text[-3000:]
