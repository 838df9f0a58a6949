"""One running generation and its words."""

import asyncio
import json
import re
import time
import uuid
from typing import Any

from tests.fakes.dialects import DIALECTS, ITEM, PART, RESPONSE_USAGE

Json = dict[str, Any]
DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens"}


class Answer:
    """What one request gets. Its attributes are what the templates name."""

    empty, dead = "", DEAD
    piece, number = "", -1

    def __init__(self, path: str, body: Json, model: str, tokens: int) -> None:
        self.path, self.body, self.dialect = path, body, DIALECTS[path]
        self.id, self.created = self.dialect.prefix + uuid.uuid4().hex[:16], int(time.time())
        self.model, self.began = body.get("model", model), time.monotonic()
        self.wanted = min([tokens, *limits(body)])
        self.reason = "stop" if self.wanted == tokens else "length"
        self.prompt, self.pieces, self.status = len(prompt_of(body)), list[str](), "in_progress"
        self.background, self.previous = bool(body.get("background")), body.get("previous_response_id")
        self.alarm: asyncio.Future[None] | None = None

    @property
    def spent(self) -> int:
        """Return tokens so far."""
        return len(self.pieces)

    @property
    def over(self) -> bool:
        """Return whether a response has got all it will get."""
        return self.status not in ("queued", "in_progress")

    def value(self, name: str) -> object:
        """Return what a template's name stands for: one of these, or an attribute."""
        match name:
            case "text":
                return "".join(self.pieces)
            case "total":
                return self.prompt + self.spent
            case "ids":
                return list(range(1, self.spent + 1))
            case "item":
                return self.id.replace("resp", "msg")
            case "stop":
                return STOP_REASONS.get(self.reason)
            case "incomplete":
                return {"reason": "max_output_tokens"} if self.status == "incomplete" else None
            case "output":
                return [json.loads(self.fill(ITEM % ("completed", PART)))] if self.over else []
            case "usage":
                return json.loads(self.fill(RESPONSE_USAGE)) if self.over else None
        return getattr(self, name)

    def fill(self, template: str) -> str:
        """Return the template with its names replaced by their values, as JSON."""
        return re.sub(r"\$(\w+)", lambda name: json.dumps(self.value(name[1]), ensure_ascii=False), template)

    def whole_text(self) -> str:
        """Return the answer in one piece."""
        return self.fill(self.dialect.whole)

    def event(self, template: str) -> bytes:
        """Return one server-sent event, named where its dialect names them."""
        self.number += 1
        quoted = template.split('"')
        name = f"event: {quoted[3]}\n" if quoted[1:2] == ["type"] else ""
        return f"{name}data: {self.fill(template)}\n\n".encode()

    def next(self, piece: str) -> list[bytes]:
        """Return the events of a token, or of the opening when it is empty."""
        self.piece = piece
        templates = [self.dialect.token] if piece else self.dialect.opening
        return [self.event(template) for template in templates]

    def end(self) -> list[bytes]:
        """Return the events after the last token."""
        *closing, last = self.dialect.closing
        wants_usage = (self.body.get("stream_options") or {}).get("include_usage")
        usage = [self.dialect.usage] if self.dialect.usage and wants_usage else []
        return [self.event(template) for template in (*closing, *usage, last)]

    def fail(self) -> list[bytes]:
        """Return the events of a core that died meanwhile; none where vLLM drops the connection."""
        return [self.event(template) for template in self.dialect.failing]

    async def rest(self, until: float | None) -> None:
        """Sleep until a time of the loop's clock, or until woken."""
        loop = asyncio.get_running_loop()
        self.alarm = loop.create_future()
        timer = loop.call_at(until, self.wake) if until is not None else None
        try:
            await self.alarm
        finally:
            if timer:
                timer.cancel()

    def wake(self) -> None:
        """End the sleep of `rest`."""
        if self.alarm and not self.alarm.done():
            self.alarm.set_result(None)


def limits(body: Json) -> list[int]:
    """Return how many tokens the request allows, under all names of that."""
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    asked = [body.get(name) for name in names] + [(body.get("sampling_params") or {}).get("max_tokens")]
    return [limit for limit in asked if isinstance(limit, int)]


def prompt_of(body: Json) -> str:
    """Return the request's text, whatever its dialect calls it; here a token is a byte of it."""
    names = ("messages", "prompt", "input", "query", "token_ids")
    prompt = next((body[name] for name in names if name in body), "")
    return prompt if isinstance(prompt, str) else json.dumps(prompt)
