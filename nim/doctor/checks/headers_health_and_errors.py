"""Check that headers, health and error bodies pass unchanged."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping

from nim.doctor.checks.context import CheckContext
from nim.doctor.findings import Finding, Verdict
from nim.doctor.http_client import Answer
from nim.doctor.identify_service import LIVE, MODELS

READY = "/v1/health/ready"
NO_ROUTE = "/v1/nim-doctor-no-such-route"


async def header_findings(context: CheckContext) -> AsyncIterator[Finding]:
    """Send requests; yield three Findings: on request ids, Server-Timing and the API key."""
    sent = f"nim-doctor-{secrets.token_hex(8)}"
    answer = await context.client.ask("GET", MODELS, headers={"X-Request-Id": sent})
    yield _request_id(context, sent, answer.headers.get("X-Request-Id"))
    yield _server_timing(context, answer.headers)
    yield await _authorization(context)


def _request_id(context: CheckContext, sent: str, got: str | None) -> Finding:
    """Return the Finding on whether the X-Request-Id that was sent came back."""
    if got == sent:
        return Finding(check="request-id", verdict=Verdict.OK, seen="X-Request-Id goes in and comes back")
    seen = f"X-Request-Id {sent} was sent, {'none' if got is None else got} came back"
    return Finding(check="request-id", verdict=_if_ours(context), seen=seen)


def _server_timing(context: CheckContext, headers: Mapping[str, str]) -> Finding:
    """Return the Finding on whether the engine's Server-Timing header came back."""
    timing = headers.get("Server-Timing", "")
    if "engine;dur=" in timing:
        return Finding(check="server-timing", verdict=Verdict.OK, seen=timing)
    return Finding(
        check="server-timing", verdict=_if_ours(context), seen="no Server-Timing of the engine came back"
    )


async def _authorization(context: CheckContext) -> Finding:
    """Return the Finding on whether a request without the API key is refused; unknown without a key."""
    if not context.client.target.key:
        seen = "no key to try: VLLM_API_KEY is not set"
        return Finding(check="authorization", verdict=Verdict.UNKNOWN, seen=seen)
    without = await context.client.ask("GET", MODELS, with_key=False)
    if without.status in (401, 403):
        return Finding(check="authorization", verdict=Verdict.OK, seen="the key is wanted, and comes through")
    seen = f"the key was not needed: without it the answer is {without}"
    return Finding(check="authorization", verdict=Verdict.UNKNOWN, seen=seen)


async def health_findings(context: CheckContext) -> AsyncIterator[Finding]:
    """Yield Findings on whether GET /v1/health/ready reaches the service itself, uncached."""
    ready = await context.client.ask("GET", READY)
    if _is_health(ready):
        seen = f"GET {READY} answers {ready.status}"
        yield Finding(check="health", verdict=Verdict.OK, seen=seen)
        yield await _freshness(context)
        return
    yield Finding(check="health", verdict=_if_ours(context), seen=f"GET {READY} answers {ready}")


async def _freshness(context: CheckContext) -> Finding:
    """Return the Finding on whether health answers come from a cache or lack Cache-Control."""
    headers = (await context.client.ask("GET", LIVE)).headers
    control, age = headers.get("Cache-Control", ""), headers.get("Age")
    if age is not None:
        seen = f"answered from a cache: Age: {age}"
        return Finding(check="health-cache", verdict=Verdict.FAIL, seen=seen)
    if "no-store" in control:
        return Finding(check="health-cache", verdict=Verdict.OK, seen=f"Cache-Control: {control}")
    seen = f"Cache-Control of health is lost: '{control}'"
    return Finding(check="health-cache", verdict=_if_ours(context), seen=seen)


async def error_findings(context: CheckContext) -> AsyncIterator[Finding]:
    """Yield one Finding on HTML among all answers of this run; sends one more request, to no route."""
    answer = await context.client.ask("GET", NO_ROUTE)
    if context.client.pages:
        seen = f"HTML where clients expect JSON: {'; '.join(dict.fromkeys(context.client.pages))}"
        yield Finding(check="error-pages", verdict=Verdict.WARN, seen=seen)
    elif _is_json(answer):
        yield Finding(check="error-pages", verdict=Verdict.OK, seen=f"an unknown route answers {answer}")
    else:
        yield Finding(check="error-pages", verdict=Verdict.WARN, seen=f"an unknown route answers {answer}")


def _if_ours(context: CheckContext) -> Verdict:
    """Return WARN if this project's gateway answers, which always sends the header; else UNKNOWN."""
    return Verdict.WARN if context.service.ours else Verdict.UNKNOWN


def _is_json(answer: Answer) -> bool:
    """Return whether an answer's body parses as JSON."""
    try:
        json.loads(answer.body)
    except ValueError:
        return False
    return True


def _is_health(answer: Answer) -> bool:
    """Return whether an answer's body is this project's health JSON."""
    try:
        return bool(json.loads(answer.body)["object"] == "health.response")
    except (ValueError, LookupError, TypeError):
        return False
