"""The router's process: answers nginx, and keeps its knowledge of the backends fresh."""

import asyncio
import fcntl
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from nim.errors import NimError
from nim.frozen_dataclass import frozen_dataclass
from nim.middleware.serve import listener, read_plan
from nim.plan import BACKENDS_FILE, ENDS_PIPE, ENGINE_SOCKET, LOG_DIR, MIDDLEWARE_SOCKET, Plan
from nim.proxy.answers.app import Answers
from nim.proxy.answers.metrics import Metrics
from nim.proxy.answers.rewrite_model_name import Rewriter
from nim.proxy.backend_services import Backend
from nim.proxy.read_backends import VARIABLE, Document, check_keys, parse_backends, read_backends_file
from nim.proxy.routing.decider import Decider
from nim.proxy.routing.models_of_backends import Fleet
from nim.proxy.routing.running_requests import Flights
from nim.proxy.routing.serve_nginx_connections import DeciderProtocol
from nim.proxy.upkeep.find_response import ResponseFinder
from nim.proxy.upkeep.follow_backends import Follower
from nim.proxy.upkeep.http_sessions import open_session
from nim.proxy.upkeep.poll_replicas import Poller
from nim.proxy.upkeep.reload_nginx import NginxReload
from nim.proxy.upkeep.watch_workers import WorkerWatch

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 0.3
READ_BYTES, PIPE_BYTES = 262_144, 1_048_576
# How long the models of the backends are waited for before the router counts as started.
FIRST_MODELS_SECONDS = 1.0


@frozen_dataclass
class Word:
    """What the launcher left in the run directory for the router."""

    file: str | None
    text: str | None
    open_files: int
    idle_seconds: int
    authorities: str


def main(run_dir: str, environ: Mapping[str, str]) -> int:
    """Run the router until SIGTERM; return its exit code."""
    try:
        plan = read_plan(run_dir)
        level = logging.getLevelNamesMapping().get(plan.log_level.upper(), logging.INFO)
        logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s: %(message)s")
        logging.getLogger("asyncio").setLevel(logging.WARNING)
        run(Router(plan, environ).serve())
    except NimError as error:
        sys.stderr.write(f"CRITICAL: {error}\n")
        return error.exit_code
    return 0


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run the router on uvloop, which reads large bodies in less time; without it on asyncio's loop."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
        return
    uvloop.run(work)


class Router:
    """All parts of the router, and their connections."""

    def __init__(self, plan: Plan, environ: Mapping[str, str]) -> None:
        self._plan, self._environ = plan, environ
        self.word = Word(**json.loads(plan.file(BACKENDS_FILE).read_text(encoding="utf-8")))
        self._up = False

    async def serve(self) -> None:
        """Serve on the two sockets of the run directory until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        session = open_session()
        try:
            await self._run(session, stop)
        finally:
            await session.close()

    async def _run(self, session: ClientSession, stop: asyncio.Event) -> None:
        """Connect the parts, and serve with them until `stop` is set."""
        fleet = Fleet(self.key_of)
        flights = Flights(fleet.now)
        nginx = NginxReload(
            self._plan,
            self._environ.get("NIM_NGINX", "nginx"),
            open_files=self.word.open_files,
            idle_seconds=self.word.idle_seconds,
            authorities=self.word.authorities,
        )
        poller = Poller(fleet, session)
        follower = Follower(self.read, fleet, nginx, poller, self.word.file)
        follower.environ = self._environ
        decider = Decider(fleet, flights, ResponseFinder(session).find)
        metrics = Metrics(fleet, nginx)
        flights.ended, decider.refused = metrics.ended, metrics.refused
        facts: dict[str, object] = {
            "version": self._plan.release,
            "service": "nim-proxy",
            "planHash": self._plan.hash,
        }
        app = Answers(fleet, metrics, Rewriter(flights, session), facts).app()
        async with self._ends(flights), self._management(app), self._decisions(decider):
            try:
                await follower.begin()
                with suppress(TimeoutError):
                    await asyncio.wait_for(poller.ask_all(FIRST_MODELS_SECONDS), FIRST_MODELS_SECONDS)
                self._up = True
                log.info("the router knows %d models of %d replicas", len(fleet.cards()), len(fleet.replicas))
                await stop.wait()
            finally:
                await follower.stop()
                poller.stop()

    @asynccontextmanager
    async def _management(self, app: web.Application) -> AsyncIterator[None]:
        """Answer the management routes on their socket."""
        path = self._plan.file(MIDDLEWARE_SOCKET)
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, handler_cancellation=True
        )
        await runner.setup()
        try:
            await web.SockSite(runner, listener(path)).start()
            yield
        finally:
            path.unlink(missing_ok=True)
            await runner.cleanup()

    @asynccontextmanager
    async def _decisions(self, decider: Decider) -> AsyncIterator[None]:
        """Answer nginx's questions on their socket."""
        path = self._plan.file(ENGINE_SOCKET)
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: DeciderProtocol(decider, lambda: self._up), sock=listener(path), backlog=4096
        )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            server.close()

    @asynccontextmanager
    async def _ends(self, flights: Flights) -> AsyncIterator[None]:
        """Read what nginx writes at the end of each request."""
        pipe = os.open(self._plan.file(LOG_DIR) / ENDS_PIPE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(OSError):  # the user's limit of memory for pipes may be reached
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

        def on_data() -> None:
            """Read what has arrived."""
            with suppress(BlockingIOError):
                flights.read(os.read(pipe, READ_BYTES))

        def on_worker_ended(pid: int) -> int:
            """Read all that a worker wrote before it ended, then forget what it left."""
            with suppress(BlockingIOError):
                while data := os.read(pipe, READ_BYTES):
                    flights.read(data)
            return flights.worker_ended(pid)

        loop = asyncio.get_running_loop()
        loop.add_reader(pipe, on_data)
        workers = WorkerWatch(on_worker_ended)
        flights.began_in = workers.watch
        try:
            yield
        finally:
            workers.close()
            loop.remove_reader(pipe)
            os.close(pipe)

    def read(self) -> Document:
        """Return the backends in the file, or of the environment; NimError for what is wrong."""
        text = read_backends_file(Path(self.word.file)) if self.word.file else self.word.text or ""
        document = parse_backends(text, self.word.file or VARIABLE)
        check_keys(document.backends, self._environ)
        return document

    def key_of(self, backend: Backend) -> str | None:
        """Return the key of a backend from the environment; None if it has none of its own."""
        return self._environ.get(backend.key_env) if backend.key_env else None
