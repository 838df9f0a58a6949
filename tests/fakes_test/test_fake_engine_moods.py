"""How the fake engine misbehaves while it serves, with moods changed at run time."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.launch import Launched, launch, wait_until

CHAT = "/v1/chat/completions"
STREAM = {"messages": [], "stream": True}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with launch(
        tmp_path_factory.mktemp("engine"), "--max-num-seqs", "2", routes=["/v1/embeddings"]
    ) as launched:
        yield launched.wait_ready()


@pytest.fixture
def engine(process: Launched) -> Iterator[Launched]:
    yield process
    with process.send("PUT", "/fake/control", {}) as response:
        assert response.status == 200


def read_tokens(response: http.client.HTTPResponse, count: int) -> None:
    """Read on until this many tokens have come."""
    while count:
        line = response.readline()
        assert line, "the stream ended"
        count -= b'"content":"tok' in line


def test_moods_are_told_and_refused(engine: Launched) -> None:
    assert engine.order(tokens=3)["tokens"] == 3
    assert engine.get("/fake/control")["tokens"] == 3
    for wrong in ({"token": 3}, {"crash": "boredom"}, {"drain_end": "party"}, {"phases": {"lunch": 1}}):
        assert "cannot be in this mood" in engine.order(**wrong)["error"]
    with engine.send("PUT", "/fake/control", {}) as response:
        assert json.loads(response.read())["tokens"] == 8


def test_more_routes(engine: Launched) -> None:
    assert engine.post("/v1/embeddings", input="x") == {}


def test_ordered_errors(engine: Launched) -> None:
    engine.order(fail={"/health": 500})
    with engine.send("GET", "/health") as response:
        assert response.status == 500
    with engine.send("GET", "/version") as response:
        assert response.status == 200
    engine.order(fail={"*": 503})
    assert engine.post("/v1/messages", messages=[])["type"] == "error"
    with engine.send("GET", "/metrics") as response:
        assert response.status == 503


def test_a_stalled_route_takes_the_request_and_never_answers(engine: Launched) -> None:
    engine.order(stall=["/health"])
    with engine.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert engine.get("/fake/received?last=1")[0]["target"] == "/health"


def test_a_route_can_echo(engine: Launched) -> None:
    engine.order(echo=[CHAT])
    echo = engine.post(CHAT, messages=["hé"])
    assert (echo["target"], json.loads(echo["body"])) == (CHAT, {"messages": ["hé"]})


def test_length_and_pace(engine: Launched) -> None:
    engine.order(tokens=5, first_token_ms=100, interval_ms=50)
    began = time.monotonic()
    with engine.send("POST", CHAT, STREAM) as response:
        said = response.read()
    assert time.monotonic() - began >= 0.35
    assert said.count(b'"content":"tok') == 5
    assert said.endswith(b"data: [DONE]\n\n")


def test_large_bodies(engine: Launched) -> None:
    engine.order(tokens=10, token_bytes=1_000_000, interval_ms=0)
    with engine.send("POST", "/v1/completions", {"prompt": "x"}) as response:
        assert len(json.loads(response.read())["choices"][0]["text"]) == 10_000_000


def test_a_stream_stalls_and_goes_on_when_told(engine: Launched) -> None:
    engine.order(stall_after=2)
    with engine.send("POST", CHAT, STREAM) as response:
        read_tokens(response, 2)
        before = engine.state()["counts"]["generation_tokens"]
        time.sleep(0.2)
        state = engine.state()
        assert (state["running"], state["counts"]["generation_tokens"]) == (1, before)
        engine.order(stall_after=None)
        assert response.read().endswith(b"data: [DONE]\n\n")


def test_a_stream_crawls(engine: Launched) -> None:
    engine.order(tokens=5, interval_ms=1, crawl_after=2, crawl_ms=100)
    began = time.monotonic()
    with engine.send("POST", CHAT, STREAM) as response:
        read_tokens(response, 5)
    assert time.monotonic() - began >= 0.3


def test_a_stream_is_cut(engine: Launched) -> None:
    engine.order(cut_after=3)
    with engine.send("POST", CHAT, STREAM) as response:
        read_tokens(response, 3)
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    with pytest.raises(http.client.RemoteDisconnected):
        engine.send("POST", CHAT, {"messages": []})
    assert engine.state()["running"] == 0


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_is_noticed(engine: Launched, stream: bool) -> None:
    engine.order(tokens=10**6, interval_ms=20)
    aborted = len(engine.state()["aborted"])
    with engine.connect() as connection:
        send_stream(connection, stream)
        wait_until(lambda: engine.state()["running"] == 1, "the answer")
        left = time.time()
    wait_until(lambda: len(engine.state()["aborted"]) > aborted, "the abort")
    noticed = engine.state()["aborted"][-1]
    assert noticed["path"] == CHAT
    assert noticed["at"] >= left
    assert engine.state()["running"] == 0


def test_more_answers_than_seats_wait(engine: Launched) -> None:
    engine.order(tokens=10**6)
    connections = [engine.connect() for _ in range(3)]
    for connection in connections:
        send_stream(connection)
    wait_until(lambda: (engine.state()["running"], engine.state()["waiting"]) == (2, 1), "a queue")
    with engine.send("GET", "/metrics") as response:
        assert 'vllm:num_requests_waiting{engine="0",model_name="demo"} 1.0' in response.read().decode()
    for connection in connections:
        connection.close()
    wait_until(lambda: engine.state()["running"] == 0, "the end")


def test_concurrent_streams_keep_their_own_order(engine: Launched) -> None:
    engine.order(tokens=50, interval_ms=1)
    texts: list[str] = []

    def ask() -> None:
        texts.append(engine.post("/v1/completions", prompt="x")["choices"][0]["text"])

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["".join(f"tok{n} " for n in range(50))] * 6


def test_connections_are_counted_and_reused(engine: Launched) -> None:
    with engine.connect() as connection:
        for _ in range(3):
            connection.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"0.32.0" in connection.recv(4096)
    numbers = [record["connection"] for record in engine.get("/fake/received?last=3")]
    assert len(set(numbers)) == 1


@pytest.mark.parametrize(
    ("mood", "env"), [({"keep_alive": 0.2}, {}), ({}, {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "0.2"})]
)
def test_idle_connections_are_closed(tmp_path: Path, mood: dict[str, Any], env: dict[str, str]) -> None:
    with launch(tmp_path, env=env, **mood) as engine, engine.wait_ready().connect() as connection:
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"0.32.0" in connection.recv(4096)
        assert connection.recv(4096) == b""


def test_it_dies_in_mid_stream(tmp_path: Path) -> None:
    with launch(tmp_path, die_after=2) as engine:
        with engine.wait_ready().send("POST", CHAT, STREAM) as response:
            read_tokens(response, 2)
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                response.read()
        assert engine.wait_exit() == -9


def send_stream(connection: socket.socket, stream: bool = True) -> None:
    """Request a chat stream on a connection of its own."""
    body = json.dumps({**STREAM, "stream": stream}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
