"""Server-sent events: results as `data:`, steps as `intermediate_data:`, which clients of OpenAI ignore."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

from fastapi.responses import StreamingResponse

# Load balancers close connections that are silent for a minute.
SILENCE_SECONDS = 15.0
COMMENT = ": the workflow goes on\n\n"
DONE = "data: [DONE]\n\n"


def data(value: Any) -> str:
    """Return the event of a result."""
    return f"data: {_json(value)}\n\n"


def intermediate_data(value: Any) -> str:
    """Return the event of a step."""
    return f"intermediate_data: {_json(value)}\n\n"


def _json(value: Any) -> str:
    """Return a value as JSON in ASCII, which can be sent whatever the texts in it have."""
    return json.dumps(value, default=str)


def event_stream(events: AsyncGenerator[str, None]) -> StreamingResponse:
    """Return the response of these events; a client that leaves closes their generator."""
    return StreamingResponse(_with_comments(events), media_type="text/event-stream")


async def _with_comments(events: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    """Yield the events, and a comment after each silence."""
    async with aclosing(events):
        waiting: asyncio.Task[str] | None = None
        try:
            while True:
                waiting = waiting or asyncio.ensure_future(anext(events))
                done, _ = await asyncio.wait({waiting}, timeout=SILENCE_SECONDS)
                if not done:
                    yield COMMENT
                    continue
                try:
                    event = waiting.result()
                except StopAsyncIteration:
                    return
                finally:
                    waiting = None
                yield event
        finally:
            if waiting:
                waiting.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await waiting
