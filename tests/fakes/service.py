"""State of the fake engine, shared by all its parts."""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from tests.fakes.answers import DEAD, Answer, Json
from tests.fakes.children import Children
from tests.fakes.mood import Mood
from tests.fakes.words import tell_core_lost


def as_json(data: object, status: int = 200) -> web.Response:
    """Return a JSON answer as compact as FastAPI's."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return web.Response(body=text.encode(), status=status, content_type="application/json")


class Refused(Exception):
    """A request that gets an error of vLLM's, in the words of the path's dialect."""

    def __init__(self, status: int, message: str, kind: str = "InternalServerError") -> None:
        super().__init__(message)
        self.status, self.message, self.kind = status, message, kind

    def answer(self, path: str) -> web.Response:
        """Return the error as it leaves."""
        error: Json = {"message": self.message, "type": self.kind}
        if path.startswith("/v1/messages"):
            return as_json({"type": "error", "error": error}, self.status)
        return as_json({"error": error | {"param": None, "code": self.status}}, self.status)


class Service:
    """The arguments, the mood, the answers under way and the numbers so far.

    `halted` says why no answer gets another token: "" (it does), "abort", "cut" or "dead".
    """

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], mood: Mood) -> None:
        self.options, self.environ, self.mood = parse(argv), environ, mood
        self.model = self.options["model"][0]
        self.names = self.options.get("served-model-name") or [self.model]
        self.max_model_len = int(self.option("max-model-len", "4096"))
        self.children = Children()
        self.halted, self.stopping, self.ready_at, self.waiting = "", False, 0.0, 0
        self.running, self.idle = set[Answer](), asyncio.Event()
        self.idle.set()
        self.adapters: dict[str, str] = {}
        self.counts, self.requests = Counter[str](), Counter[tuple[str, str, str]]()
        self.first_token_seconds: list[float] = []
        self.received, self.aborted = deque[Json](maxlen=1000), deque[Json](maxlen=1000)

    def option(self, name: str, default: str) -> str:
        """Return the last value of an option."""
        return (self.options.get(name) or [default])[-1]

    def begin(self, answer: Answer) -> None:
        """Count a request as running."""
        self.running.add(answer)
        self.idle.clear()
        self.counts["prompt_tokens"] += answer.prompt

    def end(self, answer: Answer) -> None:
        """No longer count a request as running."""
        self.running.discard(answer)
        if not self.running:
            self.idle.set()

    def wake(self) -> None:
        """Wake every answer, because the mood has changed."""
        for answer in self.running:
            answer.wake()

    def halt(self, why: str) -> None:
        """Stop giving tokens to all answers."""
        self.halted = why
        self.wake()

    def lose_core(self) -> None:
        """Fail all answers, because the engine core is dead."""
        tell_core_lost(DEAD)
        self.halt("dead")

    def note_abort(self, answer: Answer) -> None:
        """Count an answer whose client disconnected early."""
        self.counts["abort"] += 1
        noticed = {"id": answer.id, "path": answer.path, "tokens": answer.spent, "at": time.time()}
        self.aborted.append(noticed)


def parse(argv: Sequence[str]) -> dict[str, list[str]]:
    """Return all options with all their values; "model" is the model, however it was given."""
    options: dict[str, list[str]] = {}
    values = options.setdefault("", [])
    for token in argv:
        if token.startswith("-") and token[1:2].strip("0123456789."):
            name, equals, value = token.partition("=")
            values = options.setdefault(name.lstrip("-").replace("_", "-"), [])
            values += [value] if equals else []
        else:
            values.append(token)
    positional = [token for token in options.pop("") if token != "serve"]
    options["model"] = (positional or options.get("model") or ["facebook/opt-125m"])[:1]
    return options


async def read_object(request: web.Request) -> dict[str, Any]:
    """Return the request's JSON object; Refused if it is none."""
    try:
        body = await request.json()
    except ValueError as error:
        raise Refused(400, f"1 validation error: JSON decode error: {error}", "Bad Request") from None
    if not isinstance(body, dict):
        raise Refused(400, "1 validation error: Input should be a valid dictionary", "Bad Request")
    return body
