"""Check that the engine stops generating when a client disconnects, by its count of running requests."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from nim.doctor.checks.context import CheckContext
from nim.doctor.findings import Finding, Verdict, milliseconds
from nim.doctor.http_client import ConnectionCut
from nim.doctor.scrape_engine_metrics import Counts
from nim.errors import NimError
from nim.frozen_dataclass import frozen_dataclass

GENERATION_SECONDS = 10.0
DISCONNECT_NOTICED_WITHIN_SECONDS = 3.0
REQUEST_COUNTED_WITHIN_SECONDS = 10.0
METRICS_TIMEOUT_SECONDS = 3.0
POLL_SECONDS = 0.1
LATE_SECONDS = 1.0
TOO_SHORT = "the longest answer ends too soon by itself"


@frozen_dataclass
class Observation:
    """What the engine counted and how long it took."""

    counts: Counts
    seconds: float


class MetricsUnavailable(Exception):
    """The engine's metrics could not be read at all."""


async def disconnect_findings(context: CheckContext) -> AsyncIterator[Finding]:
    """Yield two Findings: on disconnecting during a stream, and before a non-streaming answer."""
    tokens = context.tokens_for(GENERATION_SECONDS)

    async def stream() -> None:
        """Start a stream and read it until cancelled."""
        async with context.api.begun(tokens) as answer:
            async for _ in answer.content.iter_any():
                pass

    async def silence() -> None:
        """Send a non-streaming request and wait for its answer until cancelled."""
        body = context.api.request(tokens, stream=False)
        await context.client.ask("POST", context.api.path, json=body)

    yield await _checked(context, "disconnect-stream", tokens, stream)
    yield await _checked(context, "disconnect-silent", tokens, silence)


async def _checked(
    context: CheckContext, check: str, tokens: int, ask: Callable[[], Awaitable[None]]
) -> Finding:
    """Return the Finding of one disconnect, with verdict unknown if the metrics cannot be read."""
    try:
        return await _leave(context, check, tokens, ask)
    except MetricsUnavailable:
        return _unknown(check, "no request to /v1/metrics was answered")


async def _leave(
    context: CheckContext, check: str, tokens: int, ask: Callable[[], Awaitable[None]]
) -> Finding:
    """Start a generation, disconnect once the engine counts it; return a Finding on how long it went on."""
    before = await _idle(context)
    if before is None:
        return _unknown(check, "the engine's metrics are not available at /v1/metrics")
    if before.running:
        return _unknown(check, f"the engine has {before.running:g} other requests")
    began = time.monotonic()
    task = asyncio.ensure_future(ask())
    try:
        begun = await _until(context, lambda running: running > 0, REQUEST_COUNTED_WITHIN_SECONDS)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, NimError, ConnectionCut, OSError, TimeoutError):
            await task
    if not begun:
        return _unknown(check, "the engine did not count the request")
    left = tokens * context.token_seconds - (time.monotonic() - began)
    noticed_within_seconds = min(DISCONNECT_NOTICED_WITHIN_SECONDS, left / 3)
    if noticed_within_seconds < 5 * POLL_SECONDS:
        return _unknown(check, TOO_SHORT)
    ended = await _until(context, lambda running: running == 0, noticed_within_seconds)
    if ended is None:
        seen = f"the engine was still generating {milliseconds(noticed_within_seconds)} after the client left"
        return Finding(check=check, verdict=Verdict.FAIL, seen=seen)
    return _ended(check, ended.seconds, to_the_end=ended.counts.generated - before.generated >= tokens)


def _ended(check: str, seconds: float, *, to_the_end: bool) -> Finding:
    """Return the Finding on a generation that has ended; one that went on `to_the_end` was not stopped."""
    if not to_the_end:
        seen = f"the engine stopped at most {milliseconds(seconds)} after the client left"
        return Finding(check=check, verdict=Verdict.OK, seen=seen, facts={"seconds": seconds})
    if seconds < LATE_SECONDS:
        return _unknown(check, TOO_SHORT)
    seen = f"the engine went on to the last token, {milliseconds(seconds)} after the client left"
    return Finding(check=check, verdict=Verdict.FAIL, seen=seen)


async def _idle(context: CheckContext) -> Counts | None:
    """Wait until the engine is idle, at most 30 s; return its Counts, None if they cannot be read."""
    if await context.counts() is None:
        return None
    await _until(context, lambda running: running == 0, 3 * GENERATION_SECONDS)
    return await context.counts()


async def _until(context: CheckContext, true: Callable[[float], bool], seconds: float) -> Observation | None:
    """Poll until `true(running requests)`; return an Observation, None after `seconds` without one."""
    began, looked = time.monotonic(), False
    while True:
        counts = await context.counts(METRICS_TIMEOUT_SECONDS)
        after = time.monotonic() - began
        if counts and true(counts.running):
            return Observation(counts=counts, seconds=after)
        looked = looked or counts is not None
        if after > seconds:
            break
        await asyncio.sleep(POLL_SECONDS)
    if not looked:
        raise MetricsUnavailable
    return None


def _unknown(check: str, seen: str) -> Finding:
    """Return a Finding with verdict unknown and the reason `seen`."""
    return Finding(check=check, verdict=Verdict.UNKNOWN, seen=f"cannot be determined: {seen}")
