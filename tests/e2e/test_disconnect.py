"""The real engine stops generating when a client disconnects."""

import json
import socket
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Service

pytestmark = [pytest.mark.slow, pytest.mark.engine]

LONG = 4000
PATIENCE_SECONDS = 60


def counted(service: Service, name: str) -> float:
    """Return the sum of a metric of the engine's."""
    status, text = service.get("/v1/metrics")
    assert status == 200
    families = text_string_to_metric_families(text.decode())
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def wait_for_running(service: Service, expected: float) -> None:
    """Wait until this many requests are running."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while counted(service, "vllm:num_requests_running") != expected:
        assert time.monotonic() < deadline, f"never {expected} requests at work"
        time.sleep(0.05)


def after_one_who_leaves(service: Service, stream: bool) -> tuple[float, float]:
    """Return tokens made for a request whose client leaves once it is worked on; seconds until that ends."""
    wait_for_running(service, 0)
    before = counted(service, "vllm:generation_tokens_total")
    asked = {"model": "nim/demo", "prompt": "Once", "max_tokens": LONG, "ignore_eos": True, "stream": stream}
    body = json.dumps(asked).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(head.encode() + body)
        if stream:
            assert client.recv(64).startswith(b"HTTP/1.1 200")
        else:
            wait_for_running(service, 1)
        left_at = time.monotonic()
    wait_for_running(service, 0)
    seconds = time.monotonic() - left_at
    return counted(service, "vllm:generation_tokens_total") - before, seconds


@pytest.mark.timeout(400)
@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "silent"])
def test_generation_stops_when_the_client_leaves(service: Service, stream: bool) -> None:
    """A machine that stands still for ten seconds lets the engine finish first, but not each time."""
    looks = []
    for _ in range(12):
        tokens, seconds = after_one_who_leaves(service, stream)
        if tokens < LONG and seconds < 1:
            return
        looks.append((tokens, seconds))
    pytest.fail(f"tokens of {LONG}, and seconds after the client had left: {looks}")
