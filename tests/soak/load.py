"""Clients that send requests without pause, in a thread, a bounded number at a time."""

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from random import Random

import aiohttp

from tests.soak.judge import Ended, Heard, Outcome, Verdict, judge
from tests.soak.questions import Question, Questions

# Longer than anything that a round does to a request.
HANG_SECONDS = 60.0
LEAVING_SHARE = 0.03
# After a refused connection: as long as a well-behaved client would wait, scaled to the length of a round.
REFUSED_PAUSE_SECONDS = 0.05


class Load:
    """`clients` of them from `begin` to `end`; half keep their connections, half make a new one each time."""

    def __init__(self, port: int, questions: Questions, rng: Random, clients: int) -> None:
        self._root = f"http://127.0.0.1:{port}"
        self.questions, self._rng, self._clients = questions, rng, clients
        self._stop = threading.Event()
        self._verdicts: list[Verdict] = []
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start sending requests."""
        self._stop.clear()
        self._verdicts = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask_all()), daemon=True)
        self._thread.start()

    def end(self) -> list[Verdict]:
        """Stop sending requests; return the verdicts once all answers have ended."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        return self._verdicts

    def ask(self, questions: Iterable[Question]) -> list[Verdict]:
        """Return each of these once, at the same time."""

        async def run() -> list[Verdict]:
            async with self._session(keep=False) as session:
                return await asyncio.gather(*(self._ask(session, question) for question in questions))

        return asyncio.run(run())

    def _session(self, *, keep: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, force_close=not keep)
        timeout = aiohttp.ClientTimeout(total=None)
        return aiohttp.ClientSession(self._root, connector=connector, timeout=timeout)

    async def _ask_all(self) -> None:
        async with self._session(keep=True) as keeping, self._session(keep=False) as fresh:
            sessions = [keeping if number % 2 else fresh for number in range(self._clients)]
            await asyncio.gather(*(self._go_on(session) for session in sessions))

    async def _go_on(self, session: aiohttp.ClientSession) -> None:
        while not self._stop.is_set():
            leaves = self._rng.random() < LEAVING_SHARE
            verdict = await self._ask(session, self.questions.draw(), leaves=leaves)
            self._verdicts.append(verdict)
            if verdict.outcome is not Outcome.WHOLE:
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)

    async def _ask(
        self, session: aiohttp.ClientSession, question: Question, *, leaves: bool = False
    ) -> Verdict:
        request_id = f"soak-{self._rng.getrandbits(64):016x}"
        began = time.monotonic()
        heard = [Heard(ended=Ended.LATE)]  # the last is what has come so far, also when time is up
        try:
            async with asyncio.timeout(HANG_SECONDS):
                await _hear(session, question, request_id, heard, leaves)
        except TimeoutError:
            heard.append(replace(heard[-1], ended=Ended.LATE))
        except aiohttp.ClientResponseError as error:  # nothing that HTTP knows
            heard.append(replace(heard[-1], ended=Ended.UNREADABLE, why=repr(error)))
        except (aiohttp.ClientError, OSError) as error:
            heard.append(replace(heard[-1], ended=Ended.CUT, why=repr(error)))
        return judge(question, request_id, replace(heard[-1], seconds=time.monotonic() - began))


async def _hear(
    session: aiohttp.ClientSession, question: Question, request_id: str, heard: list[Heard], leaves: bool
) -> None:
    headers = {"X-Request-Id": request_id}
    async with session.post(question.path, json=question.body, headers=headers) as answer:
        now = Heard(ended=Ended.LATE, status=answer.status, request_id=answer.headers.get("X-Request-Id"))
        heard[:] = [now]
        async for data in answer.content.iter_any():
            heard[:] = [replace(heard[-1], body=heard[-1].body + data)]
            if leaves and question.streamed:
                answer.close()
                heard.append(replace(heard[-1], ended=Ended.LEFT))
                return
        heard.append(replace(heard[-1], ended=Ended.IN_ORDER))
