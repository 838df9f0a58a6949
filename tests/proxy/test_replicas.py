"""Several replicas of a model: which one is chosen, and what follows when one fails."""

import http.client
import json
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.fakes.launch import wait_until
from tests.gateway.nginx import free_port
from tests.proxy.backend import Backend
from tests.proxy.conftest import Stack, StartBackend, StartProxy, backends, served
from tests.proxy.running import Answer, Proxy

CHAT = "/v1/chat/completions"


def replica_of(proxy: Proxy, backend: Backend) -> dict[str, object]:
    """Return what the proxy says about a replica."""
    (found,) = (one for group in proxy.backends() for one in group["replicas"] if one["url"] == backend.url)
    return dict(found)


def test_a_backend_that_is_down_is_503_with_a_time_to_come_back(stack: Stack) -> None:
    answer = stack.proxy.chat("org/c")
    assert answer.status == 503
    assert answer.json["error"]["type"] == "ServiceUnavailableError"
    assert answer.json["error"]["request_id"] == answer.headers["x-request-id"]
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    anthropic = stack.proxy.post("/v1/messages", {"model": "org/c"})
    assert anthropic.json["error"]["type"] == "api_error"


def test_the_backends_own_errors_pass_unchanged(stack: Stack) -> None:
    for status, more in (
        (429, {"Retry-After": "17", "X-Own": "a, b"}),
        (400, {}),
        (500, {}),
        (502, {}),
        (503, {}),
    ):
        body = json.dumps({"error": f"own {status}"}).encode() + b"\n"
        stack.b.mood.answer = (status, {"Content-Type": "application/json", **more}, body)
        answer = stack.proxy.chat("org/b")
        assert (answer.status, answer.body) == (status, body)
        for name, value in more.items():
            assert answer.headers[name.lower()] == value
    assert len(stack.b.received) == 5


def test_a_request_that_was_sent_is_never_sent_twice(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    one, two = start_backend("org/a"), start_backend("org/a")
    proxy = start_proxy(backends(served("a", one, two))).wait_ready(2)
    for each in (one, two):
        each.mood.break_after_body = True
    for number in range(1, 4):
        answer = proxy.chat("org/a")
        assert answer.status == 502
        assert answer.json["error"]["type"] == "BadGatewayError"
        assert "not sent again" in answer.json["error"]["message"]
        assert len(one.received) + len(two.received) == number
    assert proxy.stop() == 0


def test_requests_go_to_the_replica_with_the_fewest_running(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    slow, fast = start_backend("org/a"), start_backend("org/a")
    proxy = start_proxy(backends(served("a", slow, fast))).wait_ready(2)
    slow.mood.delay = 1.5
    with ThreadPoolExecutor(4) as pool:
        statuses = Counter(answer.status for answer in pool.map(lambda _: proxy.chat("org/a"), range(60)))
    assert statuses == {200: 60}
    assert len(slow.received) < 20 < len(fast.received)
    wait_until(lambda: replica_of(proxy, slow)["running"] == 0, "no running requests")
    assert replica_of(proxy, fast)["running"] == 0


def test_a_connection_that_fails_goes_to_the_next_replica(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    one, two = start_backend("org/a"), start_backend("org/a")
    proxy = start_proxy(backends(served("a", one, two))).wait_ready(2)
    one.stop()
    body = json.dumps({"model": "org/a", "text": "z" * 50_000}).encode()
    for _ in range(20):  # before and after the poll that finds it
        answer = proxy.post(CHAT, body)
        assert (answer.status, answer.json["from"]) == (200, two.label)
    assert {each.body for each in two.received} == {body}
    assert len(two.received) == 20
    assert not replica_of(proxy, one)["ready"]
    back = start_backend("org/a", port=one.port)
    wait_until(lambda: replica_of(proxy, one)["ready"], "the replica")
    assert {proxy.chat("org/a").json["from"] for _ in range(10)} == {back.label, two.label}
    assert proxy.stop() == 0


def test_when_all_are_gone_the_answer_is_503_at_once(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    one, two, other = start_backend("org/a"), start_backend("org/a"), start_backend("org/b")
    proxy = start_proxy(backends(served("a", one, two, models=["org/a"]), served("b", other))).wait_ready(3)
    one.stop()
    two.stop()
    answers = [proxy.chat("org/a") for _ in range(5)]
    assert {answer.status for answer in answers} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert proxy.chat("org/b").status == 200
    assert "org/a" in proxy.models()  # it is listed while it is down
    assert proxy.get("/v1/health/ready").status == 200
    assert proxy.stop() == 0


def test_a_replica_that_is_not_ready_gets_nothing_and_says_when_it_will_be(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    one, two = start_backend("org/a"), start_backend("org/a")
    proxy = start_proxy(backends(served("a", one, two))).wait_ready(2)
    one.mood.ready, one.mood.not_ready = False, {"phase": "draining", "message": "draining: it is stopping"}
    wait_until(lambda: not replica_of(proxy, one)["ready"], "the drain")
    assert "draining" in str(replica_of(proxy, one)["why"])
    one.received.clear()
    assert {proxy.chat("org/a").json["from"] for _ in range(10)} == {two.label}
    assert not one.received
    for each, eta in ((one, 77.2), (two, 42.5)):
        each.mood.ready, each.mood.not_ready = (
            False,
            {"phase": "load", "message": "loads", "eta_seconds": eta},
        )
    wait_until(lambda: proxy.get("/v1/health/ready").status == 503, "not ready")
    answer = proxy.chat("org/a")
    assert answer.status == 503
    assert 40 <= int(answer.headers["retry-after"]) <= 44
    ready = proxy.get("/v1/health/ready")
    assert ready.json["eta_seconds"] == 42.5
    assert ready.json["status"] == "not_ready"
    assert proxy.stop() == 0


def test_a_service_without_a_route_for_readiness_is_asked_for_its_health(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    one, two = start_backend("org/a"), start_backend("org/a")
    one.mood.ready_route = two.mood.ready_route = False
    proxy = start_proxy(backends(served("a", one, two))).wait_ready(2)
    assert proxy.chat("org/a").status == 200
    one.mood.ready = False
    wait_until(lambda: not replica_of(proxy, one)["ready"], "not ready")
    assert proxy.stop() == 0


def test_an_address_that_swallows_connections_costs_one_time_out_only(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    """A listener whose queue is full takes no further connection and refuses none."""
    one, port = start_backend("org/a"), free_port()
    two = start_backend("org/a", port=port)
    proxy = start_proxy(backends(served("a", one, two))).wait_ready(2)
    two.stop()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        deaf.bind(("127.0.0.1", port))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        answers = [proxy.chat("org/a") for _ in range(6)]
        for filler in fillers:
            filler.close()
    assert {answer.status for answer in answers} == {200}
    assert len(one.received) == 6
    assert proxy.stop() == 0


@pytest.mark.slow
def test_nothing_is_lost_while_replicas_come_and_go(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    """Every request is answered whole, or refused before its first byte."""
    steady, flapping = start_backend("org/a"), start_backend("org/a")
    proxy = start_proxy(backends(served("a", steady, flapping))).wait_ready(2)
    results: Counter[str] = Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answer = proxy.chat("org/a", stream=True)
                whole = answer.body.endswith(b"data: [DONE]\n\n")
                results["whole" if answer.status == 200 and whole else _kind(answer)] += 1
            except http.client.IncompleteRead:
                results["cut"] += 1

    steady.mood.events = flapping.mood.events = 5
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    current = flapping
    for _ in range(3):
        current.mood.ready = False
        wait_until(lambda: not replica_of(proxy, flapping)["ready"], "the drain")
        wait_until(partial(_idle, current), "its requests")
        current.stop()
        time.sleep(0.3)
        current = start_backend("org/a", port=flapping.port)
        current.mood.events = 5
        wait_until(lambda: replica_of(proxy, flapping)["ready"], "the replica")
    stop.set()
    for thread in threads:
        thread.join()
    assert results.keys() == {"whole"}, results
    assert results["whole"] > 50
    wait_until(lambda: replica_of(proxy, steady)["running"] == 0, "no running requests")
    assert proxy.stop() == 0


def _idle(backend: Backend) -> bool:
    return backend.running == 0


def _kind(answer: Answer) -> str:
    return f"{answer.status} {answer.body[-200:]!r}"
