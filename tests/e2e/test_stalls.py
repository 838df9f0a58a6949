"""The real engine paused while it works: the reports, and that it continues afterwards."""

import http.client
import json
import os
import re
import signal
from collections.abc import Iterator

import pytest

from nim.cleanup.read_and_watch_processes import all_processes, below, read_process
from tests.e2e.conftest import Service, serving
from tests.fakes.launch import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.own_engine, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield its own, with little patience; the last line of its log is looked at when it has ended."""
    directory = tmp_path_factory.mktemp("stalls")
    with serving(directory, NIM_STALL_TIMEOUT="8", NIM_PROBE_INTERVAL="3") as running:
        yield running
    *_, last = running.log.read_text().splitlines()
    assert re.search(r" nim\] stopped after [\d.]+ s, exit code 0$", last)
    assert "nanobind" not in running.log.read_text()


def part(service: Service, name: str) -> int:
    """Return the pid of a process of the engine."""
    names = {p.pid: p.name for p in below(service.process.pid, all_processes())}
    return next(pid for pid, found in names.items() if found.startswith(name))


def api_server(service: Service) -> int:
    """Return the parent of the core."""
    core = read_process(part(service, "VLLM::EngineCore"))
    assert core
    return core.parent


def ready(service: Service) -> bool:
    assert service.get("/v1/health/live")[0] == 200
    return service.get("/v1/health/ready")[0] == 200


def stalls_and_goes_on(service: Service, pid: int, why: str) -> None:
    wait_until(lambda: ready(service), "ready")
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: b'"phase":"stalled"' in service.get("/v1/health/ready")[1], "the stall")
        assert why in service.json("/v1/metadata")["state"]["message"]
        assert b"nim_ready 0.0" in service.get("/v1/metrics")[1]
        assert not ready(service)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: ready(service), "ready again")


def test_a_stopped_core_is_noticed_without_requests(service: Service) -> None:
    stalls_and_goes_on(service, part(service, "VLLM::EngineCore"), "a probe of one token has had no answer")
    assert " gateway] POST" not in service.log.read_text(), "a probe is no request of a user's"


def test_a_stopped_core_is_noticed_while_it_streams_and_the_stream_goes_on_afterwards(
    service: Service,
) -> None:
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
    body = json.dumps({"prompt": "Once upon a time", "stream": True, "max_tokens": 3500, "ignore_eos": True})
    link.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    answer = link.getresponse()
    answer.readline()
    stalls_and_goes_on(service, part(service, "VLLM::EngineCore"), "")
    assert answer.read().endswith(b"data: [DONE]\n\n")
    link.close()


def test_a_stopped_api_server_is_noticed_and_our_metrics_answer_without_it(service: Service) -> None:
    pid = api_server(service)
    wait_until(lambda: ready(service), "ready")
    os.kill(pid, signal.SIGSTOP)
    try:
        assert b"nim_engine_up 0.0" in service.get("/v1/metrics")[1]
        wait_until(lambda: b'"phase":"stalled"' in service.get("/v1/health/ready")[1], "the stall")
        assert "the engine has not answered for" in service.json("/v1/metadata")["state"]["message"]
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: ready(service), "ready again")
    assert service.json("/v1/metadata")["state"]["restarts"] == {}
    stalls = re.search(rb"nim_engine_stalls_total (\d+)", service.get("/v1/metrics")[1])
    assert stalls
    assert int(stalls[1]) >= 3
