"""The ASGI class with a recording application in vLLM's place: bytes, headers, streams, other routes."""

import asyncio
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from nim.vllm_plugins.catalog_requests.asgi_middleware import CHAT, Catalog
from nim.vllm_plugins.catalog_requests.launcher_settings import VARIABLE, Rules


class App:
    """An ASGI application that records the request, and answers in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces or (b"{}",)
        self.scope: Any = None
        self.body = b""
        self.messages = 0
        self.left = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        while True:
            message = await receive()
            self.messages += 1
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number, piece in enumerate(self.pieces, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(self.pieces)})
        if (await receive())["type"] == "http.disconnect":
            self.left = True


async def ask(
    app: Any,
    body: bytes,
    *headers: tuple[bytes, bytes],
    path: str = CHAT,
    method: str = "POST",
    pieces: int = 1,
) -> list[Any]:
    """Send a request in pieces, then leave; return what was sent back."""
    size = -(-len(body) // pieces) or 1
    parts = [body[n : n + size] for n in range(0, len(body), size)] or [b""]
    messages = [
        {"type": "http.request", "body": part, "more_body": n < len(parts)} for n, part in enumerate(parts, 1)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [*headers]}
    await app(scope, receive, send)
    return sent


def status(sent: list[Any]) -> int:
    return int(sent[0]["status"])


def chat(content: str = "x", **more: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content}], **more}).encode()


UNTOUCHED = (
    chat(),  # B1
    b' {"messages" : [ {"role":"user","content":"\xc3\xa4 \\ud800"} ], "temperature": 0.50 }\n',
    b'{"messages":[{"role":"user","content":"x"}],"a":NaN}',  # B35
    b'{"messages":[{"role":"user","content":"\\ud800"}]}',
    b'{"messages":[{"role":"user","content":"x"}],"model":"a","model":"b"}',
    b"\xef\xbb\xbf" + chat(),
    b'{"messages":[{"role":"user","content":"\xff"}]}',
    b"",
    b"[]",
    b"null",
    b"{",
    b"[" * 100_000,
)


@pytest.mark.parametrize("body", UNTOUCHED, ids=range(len(UNTOUCHED)))
async def test_what_needs_no_change_passes_byte_for_byte(body: bytes) -> None:
    app = App()
    headers = ((b"content-length", str(len(body)).encode()), (b"x-a", b"b"))
    assert status(await ask(Catalog(app, Rules()), body, *headers)) == 200
    assert app.body == body
    assert app.scope["headers"] == [*headers]


async def test_a_changed_request_has_its_own_length_and_exact_numbers() -> None:  # B31
    app = App()
    body = chat('<img src="https://h/a.png">', seed=9007199254740993, temperature=0.1)
    headers = (
        (b"content-length", str(len(body)).encode()),
        (b"transfer-encoding", b"chunked"),
        (b"x-a", b"b"),
    )
    await ask(Catalog(app, Rules()), body, *headers)
    assert b'"seed":9007199254740993' in app.body
    assert b'"temperature":0.1' in app.body
    assert app.scope["headers"] == [(b"x-a", b"b"), (b"content-length", str(len(app.body)).encode())]


async def test_a_large_upload_in_pieces_becomes_one_body_in_little_memory() -> None:  # B36
    app = App()
    body = chat(f'<img src="data:image/png;base64,{"A" * 20_000_000}">')
    tracemalloc.start()
    await ask(Catalog(app, Rules()), body, pieces=320)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert app.messages == 1
    assert json.loads(app.body)["messages"][0]["content"][0]["type"] == "image_url"
    assert peak < 8 * len(body)


async def test_answers_pass_as_they_are_and_a_client_that_leaves_is_seen() -> None:  # B37
    pieces = (b'data: {"a":1}\n\n', b"data: [DO", b"NE]\n\n")
    app = App(*pieces)
    sent = await ask(Catalog(app, Rules()), chat(stream=True, reasoning_budget=5))
    assert [message["body"] for message in sent[1:]] == [*pieces]
    assert app.left


async def test_a_client_that_leaves_while_it_sends_ends_the_request() -> None:
    app = App()

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": []}
    catalog: Any = Catalog(app, Rules())
    await asyncio.wait_for(catalog(scope, receive, print), 5)
    assert app.scope is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/responses"),
        ("GET", CHAT),
        ("POST", f"{CHAT}/render"),
    ],
)
async def test_other_routes_are_not_read(method: str, path: str) -> None:  # B38
    app = App()
    await ask(Catalog(app, Rules()), chat(reasoning_budget=-5), method=method, path=path, pieces=3)
    assert app.messages == 3
    assert app.body == chat(reasoning_budget=-5)


async def test_a_compressed_body_passes_as_it_is() -> None:
    app = App()
    await ask(Catalog(app, Rules()), b"\x1f\x8b", (b"content-encoding", b"gzip"))
    assert app.body == b"\x1f\x8b"


async def test_other_kinds_of_connections_pass() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    for kind in ("lifespan", "websocket"):
        catalog: Any = Catalog(app, Rules())
        await catalog({"type": kind}, ask, print)
    assert seen == ["lifespan", "websocket"]


async def test_a_refusal_is_in_openai_s_shape_and_vllm_is_not_asked() -> None:
    app = App()
    sent = await ask(Catalog(app, Rules()), chat(reasoning_budget=40000))
    assert status(sent) == 422
    error = json.loads(sent[1]["body"])["error"]
    assert (error["param"], error["type"], error["code"]) == (
        "reasoning_budget",
        "invalid_request_error",
        422,
    )
    assert app.scope is None
    sent = await ask(
        Catalog(app, Rules()),
        chat(),
        (b"nvcf-input-asset-references", b"0" * 8 + b"-0000-0000-0000-" + b"0" * 12),
    )
    assert (status(sent), sent[0]["headers"][0][1]) == (404, b"application/problem+json")


async def test_without_the_engine_s_key_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    monkeypatch.setenv(VARIABLE, Rules(has_key=True).to_json())
    body = chat(reasoning_budget=40000)
    judged: Callable[..., Any] = Catalog(App())
    assert status(await ask(judged, body)) == 200  # vLLM itself answers 401
    assert status(await ask(judged, body, (b"authorization", b"Bearer wrong"))) == 200
    assert status(await ask(judged, body, (b"authorization", b"Bearer secret"))) == 422
