"""One backend costs no decision, no backend is an honest answer, and a hostile one reaches nothing."""

import json

from tests.fakes.launch import wait_until
from tests.proxy.conftest import Stack, StartBackend, StartProxy, backends, served


def test_the_only_replica_gets_all_requests_directly(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    a = start_backend("org/a")
    proxy = start_proxy(backends(served("a", a))).wait_ready(1)
    conf = (proxy.run_dir / "nginx.conf").read_text()
    assert "X-Nim-Request" not in conf
    assert "http://engine/" not in conf.replace("http://engine/health", "")
    error = {"error": {"message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}}
    a.mood.answer = (404, {"Content-Type": "application/json"}, json.dumps(error).encode())
    assert proxy.chat("x").json == error  # the engine's own words
    assert len(a.received) == 1
    assert proxy.models() == ["org/a"]
    a.mood.answer = (200, {"X-Accel-Redirect": "/v1/health/live", "Content-Type": "text/plain"}, b"mine")
    answer = proxy.chat("org/a")
    assert answer.body == b"mine"
    assert (
        b'nim_proxy_requests_total{backend="a",model="",route="/v1/chat/completions",status="404"} 1.0'
        in (proxy.get("/v1/metrics").body)
    )
    a.stop()
    assert proxy.chat("org/a").status == 503
    assert proxy.stop() == 0


def test_one_backend_becomes_two(start_backend: StartBackend, start_proxy: StartProxy) -> None:
    a, b = start_backend("org/a"), start_backend("org/b")
    proxy = start_proxy(backends(served("a", a))).wait_ready(1)
    assert proxy.chat("org/b").json["from"] == a.label
    proxy.write(backends(served("a", a), served("b", b)))
    proxy.wait_said("changed: 2 backends")
    wait_until(lambda: proxy.chat("org/b").json.get("from") == b.label, "the end of the old workers")
    assert proxy.stop() == 0


def test_no_backends_are_possible(start_proxy: StartProxy) -> None:
    proxy = start_proxy("backends: []\n").wait_up()
    assert proxy.models() == []
    assert proxy.chat("org/a").status == 404
    assert proxy.get("/v1/health/ready").status == 503
    assert proxy.stop() == 0


def test_a_hostile_backend_cannot_steer_nginx(stack: Stack) -> None:
    for name, value in (
        ("X-Accel-Redirect", "@backend"),
        ("X-Accel-Redirect", "/_health/not_ready"),
        ("X-Nim-Replica", "engine"),
        ("X-Accel-Limit-Rate", "1"),
        ("X-Accel-Buffering", "yes"),
        ("X-Request-Id", "forged"),
    ):
        stack.b.mood.answer = (200, {name: value, "Content-Type": "text/plain"}, b"mine")
        answer = stack.proxy.chat("org/b")
        assert (answer.status, answer.body) == (200, b"mine")
        assert answer.headers["x-request-id"] != "forged"
    assert len(stack.b.received) == 6
    stack.b.mood.answer = (200, {"X-Giant": "g" * 60_000}, b"mine")
    answer = stack.proxy.chat("org/b")
    assert answer.status == 502
    assert answer.json["error"]["request_id"]
    assert len(stack.b.received) == 7
    stack.b.mood.answer = None
    assert stack.proxy.chat("org/b").status == 200


def test_a_client_cannot_steer_nginx(stack: Stack) -> None:
    headers = {
        "X-Nim-Replica": "engine",
        "X-Nim-Request": "x",
        "X-Nim-Generation": "99",
        "X-Accel-Redirect": "/",
    }
    assert stack.proxy.post("/v1/completions", {"model": "org/a"}, headers).json["from"] == stack.a.label
    for name in ("@backend", "/_error", "/_health/engine", "/_preflight"):
        assert stack.proxy.get(f"/{name.lstrip('/')}").status == 404
