"""What the proxy says about its models and itself."""

import time

import pytest

from tests.fakes.launch import wait_until
from tests.gateway.nginx import free_port
from tests.proxy.conftest import LORA, Stack, StartBackend, StartProxy, backends, served

FIELDS = {"id", "object", "created", "owned_by", "root", "parent", "permission"}


def test_the_list_has_each_model_once_with_all_fields(stack: Stack) -> None:
    first, second = (stack.proxy.get("/v1/models") for _ in range(2))
    assert first.body == second.body
    cards = {card["id"]: card for card in first.json["data"]}
    assert list(cards) == ["org/a", "org/a-lora", "org/b", "org/c", "small"]
    assert len(cards) == len(first.json["data"])
    assert all(card.keys() >= FIELDS for card in cards.values())
    assert cards["org/a-lora"] == {**LORA, "permission": []}
    assert cards["org/b"]["owned_by"] == "org"
    assert cards["small"]["root"] == "org/a"


def test_each_listed_model_that_is_up_can_be_called(stack: Stack) -> None:
    for name in stack.proxy.models():
        assert stack.proxy.chat(name).status == (503 if name == "org/c" else 200)


def test_one_model_is_found_with_slashes_of_both_kinds(stack: Stack) -> None:
    for path in ("org/a", "org%2Fa", "org%2fa"):
        answer = stack.proxy.get(f"/v1/models/{path}")
        assert (answer.status, answer.json["id"]) == (200, "org/a")
    answer = stack.proxy.get("/v1/models/org/none")
    assert answer.status == 404
    assert answer.json["error"]["type"] == "NotFoundError"
    assert answer.json["error"]["message"] == "The model `org/none` does not exist."


def test_a_slow_list_does_not_hold_up_the_others(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    one, slow = start_backend("org/a"), start_backend("org/slow")
    slow.mood.list_delay = 10
    proxy = start_proxy(backends(served("a", one), served("slow", slow))).wait_ready(2)
    began = time.monotonic()
    assert proxy.models() == ["org/a"]
    assert time.monotonic() - began < 3
    unknown = proxy.chat("org/slow")
    assert unknown.status == 503  # it may exist: nobody knows yet
    slow.mood.list_delay = 0
    wait_until(lambda: proxy.models() == ["org/a", "org/slow"], "the list")
    assert proxy.chat("org/slow").status == 200
    assert proxy.chat("org/none").status == 404
    assert proxy.stop() == 0


def test_health_is_the_proxys_own(stack: Stack) -> None:
    answer = stack.proxy.get("/health")
    assert answer.status == 200
    assert answer.json["status"] == "healthy"
    assert answer.json["timestamp"].endswith("Z")
    assert stack.proxy.get("/v1/health/live").json["status"] == "live"


def test_ready_has_the_state_of_each_backend(stack: Stack) -> None:
    for path in ("/v1/health/ready", "/v1/health/startup"):
        answer = stack.proxy.get(path)
        assert answer.status == 200
        states = {one["name"]: [each["ready"] for each in one["replicas"]] for one in answer.json["backends"]}
        assert states == {"a": [True], "b": [True], "c": [False]}


def test_nothing_ready_is_503_and_live_all_the_same(start_proxy: StartProxy) -> None:
    down = {"name": "c", "urls": [f"http://127.0.0.1:{free_port()}"] * 1, "models": ["org/c"]}
    other = {"name": "d", "urls": [f"http://127.0.0.1:{free_port()}"], "models": ["org/d"]}
    proxy = start_proxy(backends(down, other)).wait_up()
    answer = proxy.get("/v1/health/ready")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"
    assert proxy.get("/health").status == 200
    assert proxy.chat("org/c").status == 503
    assert proxy.stop() == 0


def test_metadata_and_version_are_the_proxys_own(stack: Stack) -> None:
    answer = stack.proxy.get("/v1/metadata").json
    assert answer["service"] == "nim-proxy"
    assert [one["shortName"] for one in answer["modelInfo"]] == stack.proxy.models()
    assert stack.proxy.get("/v1/version").json["release"] == answer["version"]
    assert stack.proxy.get("/").json["models"] == stack.proxy.models()
    assert stack.proxy.get("/v1/license").status == 404


def test_a_new_adapter_is_listed_and_routed_without_a_reload(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    one, other = start_backend("org/a"), start_backend("org/b")
    proxy = start_proxy(backends(served("a", one), served("b", other))).wait_ready(2)
    wait_until(lambda: len(proxy.models()) == 2, "the models")
    reloads = _reloads(proxy.get("/v1/metrics").body)
    one.models.append(LORA)
    wait_until(lambda: "org/a-lora" in proxy.models(), "the adapter")
    assert proxy.get("/v1/models/org/a-lora").json["parent"] == "org/a"
    assert proxy.chat("org/a-lora").json["from"] == one.label
    one.models.pop()
    wait_until(lambda: "org/a-lora" not in proxy.models(), "its end")
    assert proxy.chat("org/a-lora").status == 404
    assert _reloads(proxy.get("/v1/metrics").body) == reloads
    assert proxy.stop() == 0


def _reloads(text: bytes) -> bytes:
    (line,) = (line for line in text.splitlines() if line.startswith(b"nim_proxy_reloads_total "))
    return line


@pytest.mark.parametrize("given", ["abc-123", None])
def test_the_request_id_is_the_same_on_both_sides(stack: Stack, given: str | None) -> None:
    answer = stack.proxy.post("/v1/completions", {"model": "org/a"}, {"X-Request-Id": given} if given else {})
    received = stack.a.received[0].headers["x-request-id"]
    assert answer.headers["x-request-id"] == answer.headers["request-id"] == received
    assert given is None or received == given
