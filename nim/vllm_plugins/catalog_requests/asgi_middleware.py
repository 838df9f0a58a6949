"""The ASGI class that stands before vLLM's application for one route, and never touches an answer."""

import asyncio
import hmac
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from nim.vllm_plugins.catalog_requests.launcher_settings import VARIABLE, Rules
from nim.vllm_plugins.catalog_requests.refused_request import Refused
from nim.vllm_plugins.catalog_requests.resolve_asset_references import finder
from nim.vllm_plugins.catalog_requests.rewrite_request import rewrite

CHAT = "/v1/chat/completions"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class Catalog:
    """Named by --middleware. Its rules are in the environment, which only the launcher writes."""

    def __init__(self, app: App, rules: Rules | None = None) -> None:
        self._app = app
        self._rules = rules or Rules.from_json(os.environ.get(VARIABLE, "{}"))
        self._key = os.environ.get("VLLM_API_KEY", "") if self._rules.has_key else ""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on; a chat is read to its end first, and changed if it has to be."""
        if not _is_chat(scope) or not self._is_authorized(scope["headers"]):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return  # the client has left
        try:
            changed = await self._rewritten(body, scope["headers"])
        except Refused as refused:
            await _answer(send, refused)
            return
        if changed is not None:
            body = changed
            scope = {**scope, "headers": _with_length(scope["headers"], len(body))}
        await self._app(scope, _replaying(body, receive), send)

    async def _rewritten(self, text: bytes, headers: Headers) -> bytes | None:
        """Return the body of the changed request; None if it passes as it is, like what is no JSON object."""
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(body, dict):
            return None
        if _names_assets(headers):  # files are looked at, and perhaps read
            changed = await asyncio.to_thread(self._rewrite, body, headers)
        else:
            changed = self._rewrite(body, headers)
        return json.dumps(body, separators=(",", ":")).encode() if changed else None

    def _rewrite(self, body: dict[str, Any], headers: Headers) -> bool:
        """Change a request in place; return whether anything changed."""
        return rewrite(body, self._rules, finder(headers, self._rules))

    def _is_authorized(self, headers: Headers) -> bool:
        """Return whether a request has the engine's own API key, which vLLM checks after this class."""
        given = next((value for name, value in headers if name == b"authorization"), b"")
        return not self._key or hmac.compare_digest(given, f"Bearer {self._key}".encode())


def _is_chat(scope: Message) -> bool:
    """Return whether a request is a chat whose body is plain JSON."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != CHAT:
        return False
    return not any(name == b"content-encoding" for name, _ in scope["headers"])


def _names_assets(headers: Headers) -> bool:
    """Return whether a request has a header about assets."""
    return any(name.startswith(b"nvcf-") for name, _ in headers)


async def _read(receive: Receive) -> bytes | None:
    """Return the whole body; None if the client leaves before its end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _replaying(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that first has the whole body, and then what comes from the client."""
    rest = [body]

    async def replay() -> Message:
        """Return the next message."""
        if rest:
            return {"type": "http.request", "body": rest.pop(), "more_body": False}
        return await receive()

    return replay


def _with_length(headers: Headers, length: int) -> Headers:
    """Return the headers of a request whose body has this length."""
    kept = [(n, v) for n, v in headers if n not in (b"content-length", b"transfer-encoding")]
    return [*kept, (b"content-length", str(length).encode())]


async def _answer(send: Send, refused: Refused) -> None:
    """Send the answer to a request that is refused."""
    body, kind = refused.body()
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
