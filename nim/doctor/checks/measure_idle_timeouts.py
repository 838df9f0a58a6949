"""Check for how long idle time is tolerated: within a request, and on an idle connection."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from nim.doctor.checks.context import CheckContext
from nim.doctor.findings import Finding, Verdict, milliseconds
from nim.doctor.http_client import Answer, ConnectionCut
from nim.doctor.identify_service import MODELS

MARGIN = 1.5
ATTEMPTS = 4
RESPONSE_HEAD_TIMEOUT_SECONDS = 20.0
USUAL_IDLE_TIMEOUT_SECONDS = 60


async def idle_timeout_findings(context: CheckContext) -> AsyncIterator[Finding]:
    """Yield two Findings, measured at the same time: a silent request, an idle connection."""
    waited, kept = await asyncio.gather(_idle_request(context), _idle_connection(context))
    yield waited
    yield kept


async def _idle_request(context: CheckContext) -> Finding:
    """Return the Finding on whether a request is cut that gets no data for the idle time."""
    idle, tokens = context.limits.idle_seconds, context.tokens_for(context.limits.idle_seconds * MARGIN)
    answer: Answer | None = None
    for _ in range(ATTEMPTS):
        body = context.api.request(tokens, stream=False)
        try:
            answer = await context.client.ask("POST", context.api.path, json=body, seconds=idle)
        except TimeoutError:
            seen = f"a request that was silent for {idle:g} s was not cut{_and_longer(idle)}"
            return Finding(check="silence", verdict=Verdict.OK, seen=seen, facts={"seconds": idle})
        except ConnectionCut as cut:
            return _cut(cut.seconds, cut.how)
        if answer.status != 200 or tokens == context.most_tokens:
            break
        tokens = min(context.most_tokens, int(tokens * max(idle / answer.seconds, 1) * MARGIN))
    assert answer
    if answer.status >= 500 or answer.status == 408:
        return _cut(answer.seconds, str(answer))
    took = milliseconds(answer.seconds)
    seen = f"silence of {took} is not cut; no answer takes --idle {idle:g} s here ({answer})"
    return Finding(check="silence", verdict=Verdict.UNKNOWN, seen=seen, facts={"seconds": answer.seconds})


def _and_longer(idle: float) -> str:
    """Return a hint as text if the wait was too short for the usual time-out of 60 s; else ""."""
    return "" if idle > USUAL_IDLE_TIMEOUT_SECONDS else "; --idle 90 tells of the usual 60 s"


def _cut(seconds: float, how: str) -> Finding:
    """Return the failing Finding for a silent request that was cut after `seconds`."""
    seen = f"a silent request was cut after {milliseconds(seconds)}: {how}"
    return Finding(check="silence", verdict=Verdict.FAIL, seen=seen, facts={"seconds": seconds})


async def _idle_connection(context: CheckContext) -> Finding:
    """Return the Finding on whether an idle connection takes another request; uses a raw socket."""
    url, idle = context.client.target.url(MODELS), context.limits.idle_seconds
    tls = ssl.create_default_context() if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=tls)
    try:
        head = await _head(context, reader, writer)
        began = time.monotonic()
        if b"\r\nconnection: close\r\n" in head.lower() or head.startswith(b"HTTP/1.0"):
            return _closed(0.0, "each answer ends its connection")
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1), idle)
            after = time.monotonic() - began
            return _closed(after, f"an idle connection was closed after {milliseconds(after)}")
        await _head(context, reader, writer)
    except (OSError, EOFError, TimeoutError) as error:
        return _closed(0.0, f"an idle connection was of no use any more: {error!r}")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    seen = f"a connection that was idle for {idle:g} s took another request"
    return Finding(check="keep-alive", verdict=Verdict.OK, seen=seen, facts={"seconds": idle})


async def _head(context: CheckContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Send a HEAD request on an open connection; return the status line and headers as bytes."""
    url = context.client.target.url(MODELS)
    fields = {"Host": url.authority, "User-Agent": "nim-doctor", **context.client.authorization()}
    lines = [f"HEAD {url.raw_path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    await writer.drain()
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), RESPONSE_HEAD_TIMEOUT_SECONDS)


def _closed(seconds: float, seen: str) -> Finding:
    """Return the warning Finding for an idle connection that was closed after `seconds`."""
    return Finding(check="keep-alive", verdict=Verdict.WARN, seen=seen, facts={"seconds": seconds})
