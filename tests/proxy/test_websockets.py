"""`/v1/realtime`: a websocket goes to a replica of the model in its query."""

import aiohttp
import pytest
from yarl import URL

from tests.fakes.launch import wait_until
from tests.proxy.conftest import Stack, StartBackend, StartProxy, backends, served
from tests.proxy.running import Proxy


async def talk(proxy: Proxy, target: str, **headers: str) -> dict[str, str]:
    """Return the answer to one message."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(URL(f"{proxy.url}{target}", encoded=True), headers=headers) as link,
    ):
        await link.send_str("well?")
        answer: dict[str, str] = await link.receive_json(timeout=30)
        return answer


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/v1/realtime?model=org/b", {}),
        ("/v1/realtime?a=1&model=org%2Fb", {}),
        ("/v1/realtime", {"X-NIM-Model": "org/b"}),
        ("/models/org/b/v1/realtime", {}),
    ],
)
async def test_a_websocket_reaches_its_model(stack: Stack, target: str, headers: dict[str, str]) -> None:
    answer = await talk(stack.proxy, target, **headers)
    assert (answer["from"], answer["said"]) == (stack.b.label, "well?")
    assert answer["target"] == target.removeprefix("/models/org/b")


async def test_an_open_websocket_counts_as_a_running_request(stack: Stack) -> None:
    url = f"{stack.proxy.url}/v1/realtime?model=org/b"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as link:
        await link.send_str("well?")
        await link.receive_json(timeout=30)
        assert stack.proxy.backends()[1]["replicas"][0]["running"] == 1
    wait_until(lambda: stack.proxy.backends()[1]["replicas"][0]["running"] == 0, "its end")
    wait_until(lambda: stack.b.running == 0, "the backend's end")


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/v1/realtime", 400, "without its model: /v1/realtime?model=MODEL"),
        ("/v1/realtime?model=", 400, "without its model"),
        ("/v1/realtime?model=org/none", 404, "The model `org/none` does not exist."),
        ("/v1/realtime?model=small", 400, "use its own name, `org/a`"),
        ("/v1/realtime?model=org/c", 503, "no replica that takes requests now"),
    ],
)
def test_what_cannot_be_reached_is_an_error_before_the_upgrade(
    stack: Stack, target: str, status: int, words: str
) -> None:
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    }
    answer = stack.proxy.get(target, **headers)
    assert answer.status == status
    assert words in answer.json["error"]["message"]
    assert stack.a.running == stack.b.running == 0


def test_no_other_route_becomes_a_websocket(stack: Stack) -> None:
    answer = stack.proxy.post(
        "/v1/chat/completions", {"model": "org/b"}, {"Upgrade": "websocket", "Connection": "Upgrade"}
    )
    assert answer.status == 200
    assert "upgrade" not in stack.b.received[0].headers


async def test_a_single_replica_is_reached_without_a_model(
    start_backend: StartBackend, start_proxy: StartProxy
) -> None:
    a = start_backend("org/a")
    proxy = start_proxy(backends(served("a", a))).wait_ready(1)
    assert (await talk(proxy, "/v1/realtime"))["from"] == a.label
    assert proxy.stop() == 0, proxy.text
