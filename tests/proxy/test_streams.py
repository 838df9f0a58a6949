"""Streams pass event by event, and their ends are those of the backend or of the client."""

import json
import time

import pytest

from nim.supervision.restart_policy import MIDDLEWARE
from tests.fakes.launch import wait_until
from tests.proxy.conftest import Stack, StartBackend, StartProxy, backends, served
from tests.proxy.running import Proxy

BODY = json.dumps({"model": "org/b", "stream": True}).encode()


def open_stream(proxy: Proxy, body: bytes = BODY):  # type: ignore[no-untyped-def]
    """Return (connection, response) of a stream whose head has arrived."""
    link = proxy.connect()
    link.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    return link, link.getresponse()


def test_events_arrive_one_by_one(stack: Stack) -> None:
    stack.b.mood.event_pause = 0.05
    link, response = open_stream(stack.proxy)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    times, lines = [], []
    while line := response.readline():
        if line.startswith(b"data: "):
            times.append(time.monotonic())
            lines.append(line)
    assert len(lines) == 51
    assert lines[-1] == b"data: [DONE]\n"
    assert times[-1] - times[0] > 0.6 * 50 * 0.05  # an answer that was held back comes all at once
    link.close()


def test_a_client_that_leaves_is_noticed_by_the_backend(stack: Stack) -> None:
    link, response = open_stream(stack.proxy)
    for _ in range(10):
        response.readline()
    link.close()
    response.close()
    wait_until(lambda: stack.b.closed_early == 1, "the backend's end of the stream")
    wait_until(lambda: stack.proxy.backends()[1]["replicas"][0]["running"] == 0, "the count")


def test_a_stream_that_the_backend_breaks_ends_there_and_is_not_sent_again(stack: Stack) -> None:
    stack.b.mood.break_after_events = 5
    link, response = open_stream(stack.proxy)
    with pytest.raises(Exception, match=r"IncompleteRead|reset") as caught:
        response.read()
    partial = getattr(caught.value, "partial", b"")
    assert partial.count(b"data: ") in (4, 5)
    assert len(stack.b.received) == 1
    link.close()


def test_streams_go_on_while_the_router_is_restarted(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    a, b = start_backend("org/a"), start_backend("org/b")
    proxy = start_proxy(backends(served("a", a), served("b", b))).wait_ready(2)
    b.mood.events, b.mood.event_pause = 100, 0.05
    streams = [open_stream(proxy) for _ in range(5)]
    killed = proxy.pid_of("nim.proxy")
    import os
    import signal

    os.kill(killed, signal.SIGKILL)
    seen = set()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = proxy.chat("org/a")
        seen.add(answer.status)
        if answer.status == 200 and 200 in seen and proxy.pid_of("nim.proxy") != killed:
            break
        assert answer.status in (200, 502, 503)
        if answer.status != 200:
            assert answer.json["error"]["request_id"]
    assert MIDDLEWARE.tries is None
    for link, response in streams:
        assert response.read().count(b"data: ") > 90
        link.close()
    wait_until(lambda: proxy.get("/v1/health/ready").status == 200, "ready")
    assert proxy.stop() == 0, proxy.text
