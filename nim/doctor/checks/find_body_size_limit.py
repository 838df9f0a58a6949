"""Find the largest request body that passes the proxies, using padded requests that the engine rejects."""

import json
from collections.abc import AsyncIterator
from math import isqrt

from nim.doctor.checks.context import CheckContext
from nim.doctor.findings import Finding, Verdict
from nim.doctor.http_client import Answer, ConnectionCut
from nim.frozen_dataclass import frozen_dataclass

MB = 1 << 20
SIZES = (1 * MB, 8 * MB, 64 * MB, 256 * MB, 1024 * MB)
SMALLEST = 1024
PRECISION = 1.1
SECONDS = 300.0
# Rejected for three reasons: unknown model, no messages, no prompt.
REQUEST = json.dumps({"model": "nim-doctor-no-such-model", "messages": 0, "prompt": {}}).encode()


@frozen_dataclass
class Refusal:
    """How a body was refused while a smaller one was not."""

    how: str
    by_service: bool = False


async def body_limit_findings(context: CheckContext) -> AsyncIterator[Finding]:
    """Yield one Finding on the largest body that passes: sends sizes up to the limit, then bisects."""
    limit = context.limits.max_body_bytes
    small = await _send(context, SMALLEST)
    if isinstance(small, ConnectionCut) or not 400 <= small.status < 500:
        seen = f"cannot be determined: a request without a model was answered {small}"
        yield Finding(check="body", verdict=Verdict.UNKNOWN, seen=seen)
        return
    passed, refused, refusal = SMALLEST, 0, None
    for size in [*(size for size in SIZES if size < limit), limit]:
        refusal = _refusal(small, await _send(context, size))
        if refusal:
            refused = size
            break
        passed = size
    if not refusal:
        facts = {"passed_bytes": passed}
        yield Finding(check="body", verdict=Verdict.OK, seen=f"{_size_text(passed)} pass", facts=facts)
        return
    while refused > passed * PRECISION:
        middle = isqrt(passed * refused)
        less = _refusal(small, await _send(context, middle))
        passed, refused, refusal = (passed, middle, less) if less else (middle, refused, refusal)
    yield _too_small(passed, refused, refusal)


def _too_small(passed: int, refused: int, refusal: Refusal) -> Finding:
    """Return the failing Finding for a limit on bodies that is below the required size."""
    whose = ", by the service's own limit" if refusal.by_service else ""
    seen = f"{_size_text(passed)} pass, {_size_text(refused)} do not: {refusal.how}{whose}"
    facts = {"passed_bytes": passed, "refused_bytes": refused}
    return Finding(check="body", verdict=Verdict.FAIL, seen=seen, facts=facts)


async def _send(context: CheckContext, size: int) -> Answer | ConnectionCut:
    """POST a padded body of `size` bytes; return the Answer, or the ConnectionCut if there is none."""
    fields = {"Content-Type": "application/json", "Content-Length": str(size)}
    try:
        return await context.client.ask(
            "POST", context.api.path, headers=fields, data=_padded(size), seconds=SECONDS
        )
    except ConnectionCut as cut:
        return cut
    except TimeoutError:
        return ConnectionCut(f"no answer in {SECONDS:g} s", SECONDS)


async def _padded(size: int) -> AsyncIterator[bytes]:
    """Yield pieces of a request body of `size` bytes: JSON that the engine rejects, then spaces."""
    yield REQUEST
    left = size - len(REQUEST)
    while left > 0:
        yield b" " * min(left, MB)
        left -= MB


def _refusal(small: Answer, answer: Answer | ConnectionCut) -> Refusal | None:
    """Return the Refusal of a large body; None if it is answered like the small one."""
    if isinstance(answer, ConnectionCut):
        return Refusal(how=answer.how)
    if answer.status == small.status and not answer.is_html:
        return None
    return Refusal(how=str(answer), by_service=b"NIM_PROXY_CLIENT_MAX_BODY_SIZE" in answer.body)


def _size_text(size: int) -> str:
    """Return a size in bytes as text in KB or MB."""
    return f"{size / MB:.3g} MB" if size >= MB else f"{size / 1024:.3g} KB"
