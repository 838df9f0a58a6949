"""Stored responses are in the memory of one replica, which is found again."""

from tests.proxy.conftest import StartBackend, StartProxy, backends, served

RESPONSES = "/v1/responses"


def test_a_response_is_found_at_the_replica_that_has_it(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    one, two, other = start_backend("org/a"), start_backend("org/a"), start_backend("org/b")
    proxy = start_proxy(backends(served("a", one, two), served("b", other))).wait_ready(3)
    two.responses.add("resp_1")
    for _ in range(4):
        answer = proxy.post(RESPONSES, {"model": "org/a", "previous_response_id": "resp_1", "input": "on"})
        assert answer.json["from"] == two.label
        assert proxy.get(f"{RESPONSES}/resp_1?stream=false").json["from"] == two.label
        assert two.received[-1].target == f"{RESPONSES}/resp_1?stream=false"
        answer = proxy.post(f"{RESPONSES}/resp_1/cancel", b"")
        assert answer.json["from"] == two.label
        assert two.received[-1].target == f"{RESPONSES}/resp_1/cancel"
    assert not one.received
    assert not other.received


def test_a_response_that_nobody_has(start_backend: StartBackend, start_proxy: StartProxy) -> None:
    one, other = start_backend("org/a"), start_backend("org/b")
    proxy = start_proxy(backends(served("a", one), served("b", other))).wait_ready(2)
    answer = proxy.get(f"{RESPONSES}/resp_none")
    assert answer.status == 404
    assert "resp_none" in answer.json["error"]["message"]
    assert not one.received
    # The engine has the words for this one.
    answer = proxy.post(RESPONSES, {"model": "org/a", "previous_response_id": "resp_none"})
    assert answer.json["from"] == one.label


def test_a_response_of_another_model_is_left_to_the_models_own_replica(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    one, other = start_backend("org/a"), start_backend("org/b")
    proxy = start_proxy(backends(served("a", one), served("b", other))).wait_ready(2)
    other.responses.add("resp_1")
    answer = proxy.post(RESPONSES, {"model": "org/a", "previous_response_id": "resp_1"})
    assert answer.json["from"] == one.label
