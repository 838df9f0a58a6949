"""What a workflow gets: the request, and the context in which it runs."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from typing import Any

from nim.agent.steps.emit_steps import Span, span
from nim.agent.steps.step import Step
from nim.frozen_dataclass import frozen_dataclass

Message = dict[str, Any]


class WorkflowError(Exception):
    """A workflow cannot go on; the message is for the client."""

    status = 422


class EngineUnreachable(WorkflowError):
    """The engine does not answer, or cannot now, which may pass."""

    status = 503


@frozen_dataclass
class Request:
    """What the client asks. `options`: sampling parameters of a chat, with the engine's names.

    `stream`: the client is sent an answer in pieces, so that a workflow which has them should give them.
    `headers`: the client's, without those of the connection and cookies.
    """

    messages: Sequence[Message]
    options: Mapping[str, Any]
    stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Return the text of the last message of the user; "" if there is none."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return _text(message.get("content"))
        return ""


class Context:
    """One run: `emit` takes its steps, `headers` go with each request to the engine, `usage` is the sum.

    `finish_reason`: the engine's, of its last answer.
    """

    def __init__(
        self, request_id: str, headers: Mapping[str, str], emit: Callable[[Step], None] = lambda _: None
    ) -> None:
        self.request_id, self.headers = request_id, headers
        self.usage: dict[str, int] | None = None
        self.model: str | None = None
        self.finish_reason: str | None = None
        self.llm_calls = 0
        self._emit = emit
        self._last_call = time.monotonic()

    def span(self, category: str, name: str, given: Any = None) -> AbstractContextManager[Span]:
        """Return a context manager that emits `<category>_START` and `<category>_END` around its body."""
        return span(category, name, given, self._emit)

    def engine_headers(self) -> dict[str, str]:
        """Return the headers of the next request to the engine; each has an id of its own."""
        self.llm_calls += 1
        number = f"-{self.llm_calls}" if self.llm_calls > 1 else ""
        return {**self.headers, "X-Request-Id": self.request_id + number}

    def seconds_since_last_call(self) -> float:
        """Return the seconds since the last call of a model, or since the start; remember this one."""
        now = time.monotonic()
        seconds, self._last_call = now - self._last_call, now
        return round(seconds, 6)

    def add_usage(self, usage: Mapping[str, int]) -> None:
        """Add the tokens of one call to those of the run."""
        sums = self.usage or {}
        self.usage = {name: sums.get(name, 0) + count for name, count in usage.items()}


def _text(content: Any) -> str:
    """Return the text of a message's content; the text parts of a list are joined."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    return str(content or "")
