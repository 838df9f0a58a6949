"""An engine that answers chat requests as scripted, with tool calls, and records what it was asked."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One answer: its text in words, the calls it makes, the seconds between its words, and why it ended.

    Another status than 200 is an error.
    """

    text: str = ""
    calls: Sequence[tuple[str, str]] = ()
    interval: float = 0.0
    reason: str = "stop"
    status: int = 200


@dataclass
class ScriptedEngine:
    """Gives the turns in their order, the last one again and again."""

    turns: list[Turn]
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    aborted: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, socket: Path) -> web.AppRunner:
        """Serve on a unix socket."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(socket)).start()
        return runner

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        turn = self.turns[min(len(self.requests), len(self.turns)) - 1]
        if turn.status != 200:
            return web.json_response({"error": {"message": "told to"}}, status=turn.status)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            await answer.prepare(request)
            for word in turn.text.split(" ") if turn.text else []:
                more = " " if not turn.text.endswith(word) else ""
                await answer.write(_chunk({"content": word + more}))
                await asyncio.sleep(turn.interval)
            for index, (name, arguments) in enumerate(turn.calls):
                function = {"name": name, "arguments": arguments[:3]}
                call = {"index": index, "id": f"call-{index}", "type": "function", "function": function}
                await answer.write(_chunk({"tool_calls": [call]}))
                rest = {"index": index, "function": {"arguments": arguments[3:]}}
                await answer.write(_chunk({"tool_calls": [rest]}))
            await answer.write(_chunk({}, "tool_calls" if turn.calls else turn.reason))
            await answer.write(_event({"choices": [], "usage": USAGE}))
            await answer.write(b"data: [DONE]\n\n")
        except (asyncio.CancelledError, ConnectionError):
            self.aborted.set()
            raise
        return answer


def _chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
    return _event({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def _event(more: dict[str, Any]) -> bytes:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "a-model", **more}
    return f"data: {json.dumps(chunk)}\n\n".encode()
