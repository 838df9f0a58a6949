"""Whether the engine hears of it when a client leaves: long generations, left early, and its own count."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from nim.errors import NimError
from nim.ingress.caller import Cut
from nim.ingress.exam import Exam
from nim.ingress.findings import Finding, Verdict, milliseconds

GENERATION_SECONDS = 10.0
HEARD_WITHIN_SECONDS = 3.0
SEEN_WITHIN_SECONDS = 10.0
POLL_SECONDS = 0.1


async def check_disconnects(exam: Exam) -> AsyncIterator[Finding]:
    """Once in the middle of a stream, once while the answer is still awaited."""
    tokens = exam.tokens_for(GENERATION_SECONDS)

    async def stream() -> None:
        async with exam.speech.begun(tokens) as answer:
            async for _ in answer.content.iter_any():
                pass

    async def silence() -> None:
        body = exam.speech.request(tokens, stream=False)
        await exam.caller.ask("POST", exam.speech.path, json=body)

    yield await _leave(exam, "disconnect-stream", tokens, stream)
    yield await _leave(exam, "disconnect-silent", tokens, silence)


async def _leave(exam: Exam, check: str, tokens: int, ask: Callable[[], Awaitable[None]]) -> Finding:
    """Begin, leave when the engine counts it, and see how long it goes on counting it."""
    if not exam.service.metrics_page:
        return _unknown(check, "cannot be told: the engine's numbers are not to be had at /v1/metrics")
    others = await _idle(exam)
    if others:
        return _unknown(check, f"cannot be told: the engine has {others:g} other requests")
    began = time.monotonic()
    task = asyncio.ensure_future(ask())
    counted = await _until(exam, lambda running: running > 0, SEEN_WITHIN_SECONDS)
    task.cancel()
    with suppress(asyncio.CancelledError, NimError, Cut, OSError, TimeoutError):
        await task
    if counted is None:
        return _unknown(check, "cannot be told: the engine did not count the request")
    left = tokens * exam.token_seconds - (time.monotonic() - began)
    patience = min(HEARD_WITHIN_SECONDS, left / 3)
    if patience < 5 * POLL_SECONDS:
        return _unknown(check, "cannot be told: the longest answer ends too soon by itself")
    took = await _until(exam, lambda running: running == 0, patience)
    if took is None:
        seen = f"{milliseconds(patience)} after the client left the engine was still at it"
        return Finding(check=check, verdict=Verdict.FAIL, seen=seen)
    seen = f"the engine stopped at most {milliseconds(took)} after the client left"
    return Finding(check=check, verdict=Verdict.OK, seen=seen, facts={"seconds": took})


async def _idle(exam: Exam) -> float:
    """The requests that are left when those of earlier checks have had the time to end."""
    await _until(exam, lambda running: running == 0, 3 * GENERATION_SECONDS)
    counts = await exam.counts()
    return counts.running if counts else 0.0


async def _until(exam: Exam, true: Callable[[float], bool], seconds: float) -> float | None:
    """After how long the number of requests was as wanted; None if that took too long."""
    began = time.monotonic()
    while True:
        counts = await exam.counts()
        after = time.monotonic() - began
        if counts and true(counts.running):
            return after
        if after > seconds:
            return None
        await asyncio.sleep(POLL_SECONDS)


def _unknown(check: str, seen: str) -> Finding:
    return Finding(check=check, verdict=Verdict.UNKNOWN, seen=seen)
