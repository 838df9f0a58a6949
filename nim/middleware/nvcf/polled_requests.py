"""Chat requests with NVCF-POLL-SECONDS: 202 after that time, and the answer on a route of its own."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import field
from http import HTTPStatus

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from nim.frozen_dataclass import frozen_dataclass
from nim.middleware.error_bodies import refusal, refused
from nim.middleware.upstream_clients import UPSTREAMS
from nim.plan import Plan
from nim.routes import CHAT, NVCF_STATUS_ROUTES, READY

POLL_HEADER, ID_HEADER, STATUS_HEADER = "NVCF-POLL-SECONDS", "NVCF-REQID", "NVCF-STATUS"
LONGEST_SECONDS, USUAL_SECONDS = 3600, 60
# Of nginx's read timeout: the rest is for the way of a 202.
OF_TIMEOUT = 0.9
KEPT_SECONDS = 20 * 60.0
MOST_RUNNING, MOST_KEPT_BYTES = 128, 32 * 1024 * 1024
RETRY_SECONDS = "5"
# Of one connection: aiohttp makes those of the next.
_OF_CONNECTION = frozenset(
    ("host", "connection", "content-length", "transfer-encoding", "keep-alive", POLL_HEADER.lower())
)


@frozen_dataclass
class Answer:
    """The engine's whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)


class PolledRequests:
    """Requests that go on after their 202, and their answers for 20 minutes; all in memory."""

    def __init__(self, longest_seconds: float) -> None:
        self.longest_seconds = longest_seconds
        self._running: dict[str, asyncio.Task[Answer]] = {}
        self._answers: dict[str, Answer] = {}

    @property
    def is_full(self) -> bool:
        """Return whether no further request may go on after its 202."""
        return len(self._running) >= MOST_RUNNING

    def keep(self, task: asyncio.Task[Answer]) -> str:
        """Have a request go on; return the id to ask for its answer."""
        name = str(uuid.uuid4())
        self._running[name] = task
        task.add_done_callback(lambda done: self._done(name, done))
        return name

    def find(self, name: str) -> asyncio.Task[Answer] | Answer | None:
        """Return the request, or its answer; None if there is none of this id any more."""
        self._remove_old()
        return self._running.get(name) or self._answers.get(name)

    async def close(self) -> None:
        """End the requests that run."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, name: str, task: asyncio.Task[Answer]) -> None:
        """Keep the answer of a request that has ended."""
        del self._running[name]
        if not task.cancelled():
            self._answers[name] = task.result()
            self._remove_old()

    def _remove_old(self) -> None:
        """Remove answers that are too old, and the oldest of too many bytes."""
        kept = sum(len(answer.body) for answer in self._answers.values())
        for name, answer in list(self._answers.items()):
            if time.monotonic() - answer.at < KEPT_SECONDS and kept <= MOST_KEPT_BYTES:
                return
            kept -= len(answer.body)
            del self._answers[name]


REQUESTS = web.AppKey("polled_requests", PolledRequests)


def add_polling_routes(app: web.Application, plan: Plan) -> None:
    """Add the chat route, to which nginx sends only requests with the header, and those of their answers."""
    app[REQUESTS] = PolledRequests(min(LONGEST_SECONDS, plan.gateway.read_timeout_seconds * OF_TIMEOUT))
    app.cleanup_ctx.append(_closed_at_end)
    app.router.add_post(CHAT, _chat)
    for path in NVCF_STATUS_ROUTES:
        app.router.add_get(path, _status)


async def _closed_at_end(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[REQUESTS].close()


async def _chat(request: web.Request) -> web.StreamResponse:
    """Answer a chat request as the engine does, or with 202 if that takes longer than the header says."""
    seconds = _poll_seconds(request)
    if seconds is None:
        return _refused_header(request)
    body = await request.clone(client_max_size=0).read()  # nginx has limited it
    engine = request.app[UPSTREAMS].engine
    headers = {name: text for name, text in request.headers.items() if name.lower() not in _OF_CONNECTION}
    if _streams(body):
        return await _relay(request, engine, headers, body)
    task = asyncio.create_task(_ask(engine, headers, body))
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()  # the client has left, and has no id to ask with
        raise
    if task.done():
        return _answered(task.result(), None)
    requests = request.app[REQUESTS]
    if requests.is_full:
        task.cancel()
        message = f"cannot go on with the request: {MOST_RUNNING} others wait to be asked for"
        answer = refused(request, HTTPStatus.TOO_MANY_REQUESTS, message, "too_many_polled_requests")
        answer.headers["Retry-After"] = RETRY_SECONDS
        return answer
    return _in_progress(requests.keep(task))


async def _status(request: web.Request) -> web.Response:
    """Answer GET of a request's id: its answer as soon as it is there, or 202 again."""
    seconds = _poll_seconds(request)
    if seconds is None:
        return _refused_header(request)
    name = request.match_info["polled_id"]
    found = request.app[REQUESTS].find(name)
    if found is None:
        message = f"cannot find the request {name[:60]}: it never was, or its time is over; POST {CHAT} again"
        return refused(request, HTTPStatus.NOT_FOUND, message, "not_found")
    if isinstance(found, asyncio.Task):
        await asyncio.wait({found}, timeout=seconds)
        if not found.done():
            return _in_progress(name)
        found = found.result()
    return _answered(found, name)


def _poll_seconds(request: web.Request) -> float | None:
    """Return the seconds to wait, no more than nginx does; None if the header is no number of 1 to 3600."""
    text = request.headers.get(POLL_HEADER, str(USUAL_SECONDS)).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LONGEST_SECONDS))):
        return None
    seconds = int(text)
    return min(seconds, request.app[REQUESTS].longest_seconds) if 1 <= seconds <= LONGEST_SECONDS else None


def _streams(body: bytes) -> bool:
    """Return whether the client wants a stream; what is no JSON is for the engine to refuse."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(asked, dict) and bool(asked.get("stream"))


async def _relay(
    request: web.Request, engine: ClientSession, headers: dict[str, str], body: bytes
) -> web.StreamResponse:
    """Pass the engine's stream on as it comes: it needs no polling."""
    stream = None
    try:
        async with engine.post(CHAT, data=body, headers=headers, timeout=ClientTimeout()) as answer:
            stream = web.StreamResponse(status=answer.status, headers=_passed_on(dict(answer.headers)))
            await stream.prepare(request)
            async for data in answer.content.iter_any():
                await stream.write(data)
            await stream.write_eof()
            return stream
    except (ClientError, OSError) as error:
        if stream is None:
            return _answered(_lost(error), None)
        if request.transport:
            request.transport.abort()  # a stream that is cut must not look whole
        return stream


async def _ask(engine: ClientSession, headers: dict[str, str], body: bytes) -> Answer:
    """Return the engine's Answer; one in its place if it is lost."""
    try:
        async with engine.post(CHAT, data=body, headers=headers, timeout=ClientTimeout()) as answer:
            return Answer(
                status=answer.status, headers=_passed_on(dict(answer.headers)), body=await answer.read()
            )
    except (ClientError, OSError) as error:
        return _lost(error)


def _passed_on(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers of the engine's answer that are the client's business."""
    return {name: text for name, text in headers.items() if name.lower() not in _OF_CONNECTION}


def _lost(error: Exception) -> Answer:
    """Return the Answer to a request whose engine was lost."""
    what = f"cannot answer: the connection to the engine broke off ({type(error).__name__})"
    answer = refusal(
        HTTPStatus.SERVICE_UNAVAILABLE, f"{what}; GET {READY} says when to send it again", "engine_lost"
    )
    body = answer.body if isinstance(answer.body, bytes) else b""
    return Answer(status=answer.status, headers={"Content-Type": "application/json"}, body=body)


def _answered(answer: Answer, name: str | None) -> web.Response:
    """Return the engine's answer, with the state of the request and, if it was polled, its id."""
    state = "fulfilled" if answer.status < HTTPStatus.BAD_REQUEST else "errored"
    headers = answer.headers | {STATUS_HEADER: state} | ({ID_HEADER: name} if name else {})
    return web.Response(status=answer.status, headers=headers, body=answer.body)


def _in_progress(name: str) -> web.Response:
    """Return 202 with the id to ask with."""
    headers = {ID_HEADER: name, STATUS_HEADER: "in-progress"}
    return web.Response(status=HTTPStatus.ACCEPTED, headers=headers)


def _refused_header(request: web.Request) -> web.Response:
    """Return the answer to a header that is no number of seconds."""
    message = (
        f"cannot use {POLL_HEADER}: expected seconds from 1 to {LONGEST_SECONDS}, such as {USUAL_SECONDS}"
    )
    return refused(request, HTTPStatus.BAD_REQUEST, message, "invalid_poll_seconds")
