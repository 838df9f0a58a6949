"""vLLM's router before two services: it counts both as healthy, and spreads requests over them."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zmq

from bench.peers.rust_routers import VLLM
from tests.e2e.conftest import Service, free_ports
from tests.peers.tools import environment, program

READY_SECONDS = 60
REQUESTS = 8


@pytest.fixture
def router(services: tuple[Service, Service], tmp_path: Path) -> Iterator[str]:
    """Yield the address of the router."""
    port, metrics_port = free_ports(2)
    command = [program(VLLM, "python"), "-m", "vllm_router.launch_router", "--policy", "round_robin"]
    command += ["--worker-urls", *(service.root for service in services)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics_port)]
    root = f"http://127.0.0.1:{port}"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(root):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
        yield root
    finally:
        process.terminate()
        process.wait(30)


def _answers(root: str) -> bool:
    try:
        with urllib.request.urlopen(f"{root}/readiness", timeout=5):
            return True
    except OSError:
        return False


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def test_both_services_are_healthy_and_share_the_requests(
    services: tuple[Service, Service], router: str
) -> None:
    assert _get(f"{router}/readiness")["healthy_workers"] == 2
    assert [entry["root"] for entry in _get(f"{router}/v1/models")["data"]] == ["nim/demo"]
    before = [_answered(service) for service in services]
    for _ in range(REQUESTS):
        events = _stream(router)
        assert events[-1] == "[DONE]"
        assert json.loads(events[0])["model"] == "nim/demo"
    after = [_answered(service) for service in services]
    assert [now - earlier for now, earlier in zip(after, before, strict=True)] == [REQUESTS // 2] * 2


def test_a_router_can_follow_what_the_cache_holds(service: Service, events_port: int) -> None:
    """As vLLM describes it: ZeroMQ messages of a topic, a number and a batch of events."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.setsockopt(zmq.RCVTIMEO, 1000)
        socket.connect(f"tcp://127.0.0.1:{events_port}")
        for attempt in range(20):
            _complete(service.root, f"{attempt} " * 400)
            with suppress(zmq.Again):
                _topic, _number, batch = socket.recv_multipart()
                assert b"BlockStored" in batch
                return
    pytest.fail("no event came")


def _complete(root: str, prompt: str) -> None:
    body = json.dumps({"model": "nim/demo", "prompt": prompt, "max_tokens": 1}).encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{root}/v1/completions", body, headers), timeout=60):
        pass


def _stream(root: str) -> list[str]:
    """Return the events of one streamed answer."""
    question = {"model": "nim/demo", "stream": True, "max_tokens": 4}
    body = json.dumps(question | {"messages": [{"role": "user", "content": "Hello"}]}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{root}/v1/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def _answered(service: Service) -> int:
    """Return how many requests the engine of a service has finished."""
    _, page = service.get("/metrics")
    lines = [line for line in page.decode().splitlines() if line.startswith("vllm:request_success_total{")]
    return round(sum(float(line.rpartition(" ")[2]) for line in lines))
