"""The fake engine's routes that generate, with the pace and faults of its mood."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.fakes.answers import DEAD, Answer
from tests.fakes.dialects import RESPONSE
from tests.fakes.service import Refused, Service, read_object

FROZEN_POLL_SECONDS = 0.02


class CoreDeadError(Exception):
    """The core is gone: no answer can be finished."""


class CutError(Exception):
    """The connection is to be closed without an end."""


class Generation:
    """Chat, completions, messages, responses and token-in-token-out, streamed or whole."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.seats = asyncio.Semaphore(int(service.option("max-num-seqs", "1024")))
        self.stored: dict[str, Answer] = {}
        self.background: set[asyncio.Task[None]] = set()

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await read_object(request)
        names = [*self.service.names, *self.service.adapters]
        if (name := body.get("model", names[0])) not in names:
            known = f"The model `{name}` does not exist. Valid aliases: {', '.join(names)}."
            raise Refused(404, known, "NotFoundError")
        if self.service.stopping or self.service.halted:
            raise Refused(500, DEAD)
        answer = Answer(request.path, body, names[0], self.service.mood.tokens)
        if answer.path == "/v1/responses" and self.keep(answer) and answer.background:
            return self.begin_background(answer)
        async with self.seat(answer):
            return await (self.stream if body.get("stream") else self.answer_whole)(request, answer)

    def keep(self, answer: Answer) -> bool:
        """Store a response if requested; refuse one that continues an unknown one."""
        if answer.previous and answer.previous not in self.stored:
            raise no_response(answer.previous)
        keeps = self.service.environ.get("VLLM_ENABLE_RESPONSES_API_STORE") == "1"
        if keeps:
            self.stored[answer.id] = answer
        return keeps

    def begin_background(self, answer: Answer) -> web.Response:
        """Answer at once, generate later."""
        answer.status = "queued"
        task = asyncio.create_task(self.finish_background(answer))
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        return json_text(answer.fill(RESPONSE))

    async def finish_background(self, answer: Answer) -> None:
        """Generate until done or cancelled."""
        answer.status = "in_progress"
        async with self.seat(answer):
            async for _ in self.tokens(answer):
                if answer.status == "cancelled":
                    return

    async def stored_response(self, request: web.Request) -> web.Response:
        """Answer with a stored response, or cancel it."""
        answer = self.stored.get(request.match_info["id"])
        if answer is None:
            raise no_response(request.match_info["id"])
        if request.path.endswith("/cancel"):
            if answer.over:
                raise Refused(400, "Cannot cancel a synchronous response.", "invalid_request_error")
            answer.status = "cancelled"
            answer.wake()
        return json_text(answer.fill(RESPONSE))

    @asynccontextmanager
    async def seat(self, answer: Answer) -> AsyncIterator[None]:
        """Count the request as waiting, then as running, then by its end."""
        service = self.service
        service.waiting += 1
        try:
            await self.seats.acquire()
        finally:
            service.waiting -= 1
        service.begin(answer)
        try:
            yield
            service.counts[answer.reason] += 1
        except (asyncio.CancelledError, ConnectionError):
            service.note_abort(answer)
            raise
        finally:
            service.end(answer)
            self.seats.release()

    async def tokens(self, answer: Answer) -> AsyncIterator[str]:
        """Yield the answer's tokens, each at its time; first an empty one, when the answer begins."""
        service, due = self.service, asyncio.get_running_loop().time()
        due += service.mood.first_token_ms / 1000
        await self.turn(answer, due)
        service.first_token_seconds.append(time.monotonic() - answer.began)
        yield ""
        while answer.spent < answer.wanted:
            due += self.pace_ms(answer) / 1000
            if not await self.turn(answer, due):
                break
            service.counts["generation_tokens"] += 1
            answer.pieces.append(f"tok{answer.spent} ".ljust(service.mood.token_bytes, "x"))
            yield answer.pieces[-1]
        if answer.spent < answer.wanted:
            answer.reason = "abort"
        answer.status = "incomplete" if answer.reason == "length" else "completed"

    def pace_ms(self, answer: Answer) -> float:
        """Return the milliseconds until the next token."""
        mood = self.service.mood
        crawls = mood.crawl_after is not None and answer.spent >= mood.crawl_after
        return mood.crawl_ms if crawls else mood.interval_ms

    async def turn(self, answer: Answer, due: float) -> bool:
        """Wait until the next token may come; False if it never will, an error if cut short."""
        loop, service = asyncio.get_running_loop(), self.service
        await asyncio.sleep(0)
        while not service.halted:
            stuck = service.mood.stall_after is not None and answer.spent >= service.mood.stall_after
            frozen = service.children.frozen()
            if loop.time() >= due and not stuck and not frozen:
                return True
            await answer.rest(loop.time() + FROZEN_POLL_SECONDS if frozen else None if stuck else due)
        if service.halted == "dead":
            raise CoreDeadError
        if service.halted == "cut":
            raise CutError
        return False

    async def stream(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        """Return the answer event by event, each written on its own."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        try:
            async for piece in self.tokens(answer):
                await write(response, answer.next(piece))
                self.have_accident(answer)
            await write(response, answer.end())
        except CoreDeadError:
            answer.reason = "error"
            await write(response, answer.fail())
            return response if answer.dialect.failing else cut(request, response)
        except CutError:
            return cut(request, response)
        return response

    async def answer_whole(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        """Return the answer in one piece."""
        try:
            async for _ in self.tokens(answer):
                self.have_accident(answer)
        except CoreDeadError:
            raise Refused(500, DEAD) from None
        except CutError:
            return cut(request, web.Response())
        return json_text(answer.whole_text())

    def have_accident(self, answer: Answer) -> None:
        """Crash or break off after this token, if the mood says so."""
        mood = self.service.mood
        if mood.die_after is not None and answer.spent >= mood.die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        if mood.cut_after is not None and answer.spent >= mood.cut_after:
            raise CutError


async def write(response: web.StreamResponse, events: list[bytes]) -> None:
    """Send events, each in a chunk of its own."""
    for event in events:
        await response.write(event)


def cut(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection after what has been written, without an end."""
    if request.transport:
        request.transport.close()
    return response


def json_text(text: str) -> web.Response:
    """Return a JSON answer."""
    return web.Response(body=text.encode(), content_type="application/json")


def no_response(name: str) -> Refused:
    """Return the error for an unknown response."""
    return Refused(404, f"Response with id '{name}' not found.", "invalid_request_error")
