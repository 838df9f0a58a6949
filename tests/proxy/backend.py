"""A backend that counts and echoes, in a thread of its own, and misbehaves as a test tells it to."""

import asyncio
import hashlib
import json
import ssl
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.gateway.nginx import free_port
from tests.proxy.server_thread import ServerThread

EVENTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Mood:
    """How a backend behaves from now on."""

    ready: bool = True
    not_ready: dict[str, Any] = field(default_factory=lambda: {"phase": "load", "message": "loading"})
    ready_route: bool = True
    delay: float = 0.0
    list_delay: float = 0.0
    event_pause: float = 0.02
    events: int = EVENTS
    answer: tuple[int, dict[str, str], bytes] | None = None
    break_after_body: bool = False
    break_after_events: int | None = None


class Backend:
    """One backend. `models` are cards or ids; `responses` are ids of responses that it keeps."""

    def __init__(
        self, *models: str | dict[str, Any], port: int | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._tls = tls
        self.models: list[str | dict[str, Any]] = list(models)
        self.port = port or free_port()
        self.mood = Mood()
        self.received: list[Received] = []
        self.closed_early = 0
        self.running = 0
        self.responses: set[str] = set()
        self.label = f"backend-{self.port}"
        self._server = ServerThread(self._app, self.port, tls)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    def start(self) -> "Backend":
        """Listen; return this."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Close all connections, and listen no more."""
        self._server.stop()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if path in ("/v1/health/ready", "/health"):
            return self._health(path)
        if path == "/v1/models":
            await asyncio.sleep(self.mood.list_delay)
            data = [{"id": one, "object": "model"} if isinstance(one, str) else one for one in self.models]
            return web.json_response({"object": "list", "data": data})
        if (
            request.method == "GET"
            and path.startswith("/v1/responses/")
            and "nim-proxy" in str(request.headers.get("User-Agent"))
        ):
            return web.json_response({}, status=200 if path.split("/")[3] in self.responses else 404)
        if path == "/v1/realtime" and request.headers.get("Upgrade") == "websocket":
            return await self._talk(request)
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(
            Received(method=request.method, target=request.raw_path, headers=headers, body=body)
        )
        return await self._answer(request, body)

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        """Answer each message of a websocket with this backend's name and the message."""
        talk = web.WebSocketResponse()
        await talk.prepare(request)
        self.running += 1
        try:
            async for message in talk:
                await talk.send_json({"from": self.label, "target": request.raw_path, "said": message.data})
        finally:
            self.running -= 1
        return talk

    def _health(self, path: str) -> web.Response:
        if path == "/v1/health/ready" and not self.mood.ready_route:
            return web.json_response({}, status=404)
        if self.mood.ready:
            return web.json_response({"object": "health.response", "status": "ready", "message": "ready"})
        return web.json_response(self.mood.not_ready, status=503)

    async def _answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        mood = self.mood
        self.running += 1
        try:
            await asyncio.sleep(mood.delay)
            if mood.break_after_body:
                assert request.transport
                request.transport.close()
                return web.Response()
            if mood.answer:
                status, headers, text = mood.answer
                return web.Response(status=status, headers=headers, body=text)
            if b'"stream":true' in body.replace(b" ", b""):
                return await self._stream(request)
            digest = hashlib.sha256(body).hexdigest()
            return web.json_response(
                {"from": self.label, "path": request.raw_path, "sha256": digest, "length": len(body)}
                | chat_answer()
            )
        except asyncio.CancelledError:
            self.closed_early += 1
            raise
        finally:
            self.running -= 1

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for number in range(self.mood.events):
            if number == self.mood.break_after_events:
                assert request.transport
                request.transport.close()
                return response
            await response.write(f"data: {json.dumps(chat_chunk(number))}\n\n".encode())
            await asyncio.sleep(self.mood.event_pause)
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def chat_answer() -> dict[str, Any]:
    """Return a chat completion that SDKs can read."""
    message = {"role": "assistant", "content": "well"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "any",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def chat_chunk(number: int) -> dict[str, Any]:
    """Return one event of a chat completion's stream."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "any",
        "choices": [{"index": 0, "delta": {"content": str(number)}, "finish_reason": None}],
    }
