"""Emit the steps of spans: each has a start, tokens perhaps, and an end, and knows its parent."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from nim.agent.steps.step import ROOT, Step

_parent: ContextVar[str] = ContextVar("parent", default=ROOT)


class Span:
    """One call of a model or tool, or the workflow itself. Set `output` and `usage` before it ends."""

    def __init__(self, category: str, name: str, given: Any, emit: Callable[[Step], None]) -> None:
        self.output: Any = None
        self.usage: Mapping[str, int] | None = None
        self.llm_calls, self.seconds_between_calls = 0, 0.0
        self.uuid, self.parent_id = str(uuid.uuid4()), _parent.get()
        self._category, self._name, self._input, self._emit = category, name, given, emit
        self._began = time.time()

    def token(self, chunk: str) -> None:
        """Emit the step of one piece of a model's text."""
        self._step("NEW_TOKEN", chunk=chunk)  # without the input: each would repeat the whole prompt

    def start(self) -> None:
        """Emit the step of the start."""
        self._step("START", input=self._input)

    def end(self) -> None:
        """Emit the step of the end, with output and usage."""
        self._step("END", input=self._input, output=self.output, usage=self.usage)

    def _step(self, moment: str, **more: Any) -> None:
        self._emit(
            Step(
                event_type=f"{self._category}_{moment}",
                name=self._name,
                uuid=self.uuid,
                parent_id=self.parent_id,
                timestamp=time.time(),
                span_timestamp=self._began,
                llm_calls=self.llm_calls,
                seconds_between_calls=self.seconds_between_calls,
                **more,
            )
        )


@contextmanager
def span(category: str, name: str, given: Any, emit: Callable[[Step], None]) -> Iterator[Span]:
    """Emit a start, yield the Span, which is the parent of spans inside, and emit its end.

    A span that ends with an exception has the exception as its output, also if it was cancelled.
    """
    made = Span(category, name, given, emit)
    made.start()
    before = _parent.get()
    _parent.set(made.uuid)  # not a token: a generator may be closed in another context
    try:
        yield made
    except BaseException as error:
        made.output = made.output or f"{type(error).__name__}: {error}"
        raise
    finally:
        _parent.set(before)
        made.end()
