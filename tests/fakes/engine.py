"""A fake vLLM 0.32: takes its arguments, serves its routes, prints its log lines, misbehaves on command.

    python tests/fakes/engine.py serve MODEL --uds PATH | --host H --port P [any other flag of vLLM]

Its mood is a JSON object: FAKE_ENGINE at the start, then `POST /fake/control` (changes) or `PUT` (starts
again from the default). What is marked * counts at the start only; N counts the tokens of each answer.

Mood             | What it does
-----------------|---------------------------------------------------------------------------------
phases *         | {"start": s, "load": s, "compile": s, "warm-up": s, "serve": s}: seconds each phase takes
shards *         | number of checkpoint files whose loading is reported
fetch *          | {"directory": as the hub has it for the model, "bytes": n, "seconds": s, "files": 2}: a
                 | download before loading, into blobs/*.incomplete
segments *       | number of files in /dev/shm that it and its children map; an orderly end removes them
hang_in *        | this phase never ends
crash_in         | this phase dies half-way: "start" before the address is taken, "serve" after being ready
                 | (when ordered live: now; all answers fail, and it exits after core_death seconds)
crash            | why, a name of `words.CRASHES`; crash_text: the root cause in other words
exit_code        | of a crash (default vLLM's: 2, 1, or 0 once it is ready); -9 is death by that signal
deaf             | SIGTERM and SIGINT do nothing; nor to its children if so from the start
deaf_starting *  | they do nothing until it is ready, as with vLLM
drain            | seconds for which answers go on after SIGTERM; new requests for tokens get 500
drain_end        | and those left then: "abort" (a finish reason, as vLLM), "cut" (no end), "hang" for ever
teardown         | seconds from the last answer to the exit; 4.5 is like vLLM
core *           | a child VLLM::EngineCore (default true): killed, all answers fail and it exits, code 0,
                 | after core_death seconds; stopped, no token comes while /health stays 200
workers *        | number of VLLM::Worker children of the core, whose death is the core's
orphans *        | ["group", "session"]: children that stay, in its process group or in a session apart
fail             | {PATH or "*": status}: answers are errors
stall            | [PATH or "*"]: requests are taken and never answered
echo             | [PATH or "*"]: the answer is the request's own record
tokens           | length of an answer, unless the request allows less
token_bytes      | pads every token to this size
first_token_ms, interval_ms | pace
stall_after N    | then no token and no end
crawl_after N    | then a token each crawl_ms
cut_after N      | then the connection is closed
die_after N      | then the process kills itself
keep_alive *     | idle connections close after these seconds (default VLLM_HTTP_TIMEOUT_KEEP_ALIVE or 5)
routes *         | more paths that answer GET and POST with {}, such as ["/v1/embeddings"]

Control             | What it tells
--------------------|------------------------------------------------------------------------------
/fake/control       | the mood
/fake/received      | the last requests (?last=N) as they came: method, raw target, headers, size, SHA-256
                    | and beginning of the body, times of headers and body, number of the connection, status
/fake/argv          | sys.argv; ?env=NAME&env=NAME or ?env=*: these names of the environment
/fake/state         | process ids, answers running, waiting, by how they ended; aborted ones and when noticed
/fake/echo          | this request

As with vLLM the socket file must not exist and stays behind, nobody listens before it is ready, and scale-out
routes are 403 unless enabled. Other than vLLM it makes the socket its own user's only, and stops at once.
"""

import asyncio
import mmap
import os
import signal
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.fakes import words
from tests.fakes.download import fetch
from tests.fakes.mood import Mood
from tests.fakes.routes import Routes
from tests.fakes.service import Service

LINE_BYTES = 4 << 20  # what vLLM allows for a request line or a header


class DiedError(Exception):
    """The engine is over; its argument is the exit code."""


class Engine:
    """The process: how it starts, and how it ends."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.routes = Routes(service, self.lose_core)
        self.exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ending: asyncio.Task[None] | None = None
        self.runner: web.AppRunner | None = None
        self.segments: list[tuple[Path, mmap.mmap]] = []

    async def run(self) -> int:
        """Run until the end; return the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.on_stop)
        loop.add_signal_handler(signal.SIGINT, self.on_stop)
        loop.add_signal_handler(signal.SIGCHLD, self.on_child)
        starting = loop.create_task(self.start())
        starting.add_done_callback(self.on_started)
        try:
            return await self.exit
        except DiedError as died:
            return int(died.args[0])
        except OSError:
            traceback.print_exc()
            return 1
        finally:
            starting.cancel()
            await self.clean_up()

    def on_started(self, starting: asyncio.Task[None]) -> None:
        """Raise the reason if starting failed."""
        error = None if starting.cancelled() else starting.exception()
        if error and not self.exit.done():
            self.exit.set_exception(error)

    async def clean_up(self) -> None:
        """Close everything; the socket file stays, as vLLM's does."""
        self.service.stopping = True
        if self.runner:
            await self.runner.cleanup()
        self.service.children.end()
        for path, _ in self.segments:
            path.unlink(missing_ok=True)

    async def start(self) -> None:
        """Pass through vLLM's phases, with its log lines, until requests are answered."""
        service, mood = self.service, self.service.mood
        await self.spend("start")
        words.tell_start(service.model, service.options)
        listener, address = bind(service)
        self.segments = map_segments(mood.segments)
        service.children.start(mood)
        words.PIDS.update({"EngineCore": service.children.core} if service.children.core else {})
        words.tell_load(service.model)
        await fetch(service)
        began = time.monotonic()
        await self.spend("load", mood.shards, lambda done: words.tell_shard(done, mood.shards))
        words.tell_loaded(time.monotonic() - began)
        await self.compile()
        words.tell_engine(time.monotonic() - began, address)
        await self.listen(listener)
        await self.spend("serve")

    async def compile(self) -> None:
        """Log the phases between loading and the first request; eager mode compiles and captures nothing."""
        eager, began = "enforce-eager" in self.service.options, time.monotonic()
        if not eager:
            words.tell_compile()
        await self.spend("compile")
        if not eager:
            words.tell_compiled(time.monotonic() - began)
        words.tell_cache(self.service.max_model_len)
        began = time.monotonic()
        await self.spend("warm-up")
        if not eager:
            words.tell_captured(time.monotonic() - began)

    async def spend(self, phase: str, parts: int = 1, tell: Callable[[int], None] = lambda _: None) -> None:
        """Wait for the time of a phase in parts; half-way, fail if the mood says so."""
        seconds = self.service.mood.phases.get(phase, 0)
        for part in range(parts):
            tell(part)
            await asyncio.sleep(seconds / parts / 2)
            if part == parts // 2:
                await self.go_wrong(phase)
            await asyncio.sleep(seconds / parts / 2)
        tell(parts)

    async def go_wrong(self, phase: str) -> None:
        """Hang or crash in this phase, if the mood says so."""
        mood = self.service.mood
        if mood.hang_in == phase:
            await asyncio.Event().wait()
        if mood.crash_in == phase:
            code = words.tell_crash(mood.crash, mood.crash_text, self.service.model)
            if phase != "serve":
                raise DiedError(code if mood.exit_code is None else mood.exit_code)
            self.lose_core()

    async def listen(self, listener: socket.socket) -> None:
        """Answer requests from now on."""
        keep_alive, environ = self.service.mood.keep_alive, self.service.environ
        if keep_alive is None:
            keep_alive = float(environ.get("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "5"))
        self.runner = web.AppRunner(
            self.routes.application(),
            access_log=None,
            keepalive_timeout=keep_alive,
            handler_cancellation=True,
            shutdown_timeout=0.05,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=256,
            auto_decompress=False,
        )
        await self.runner.setup()
        await web.SockSite(self.runner, listener, backlog=2048).start()
        self.service.ready_at = time.time()
        words.tell_ready()

    def on_stop(self) -> None:
        """Handle SIGTERM or SIGINT."""
        mood, starting = self.service.mood, not self.service.ready_at
        if not (self.service.stopping or mood.deaf or (mood.deaf_starting and starting)):
            self.service.stopping = True
            self.ending = asyncio.get_running_loop().create_task(self.stop())

    async def stop(self) -> None:
        """End as vLLM does: drain or abort, tear down, exit 0."""
        service = self.service
        words.tell_stop(service.mood.drain)
        await self.wait_for_answers(service.mood.drain)
        if service.running and service.mood.drain_end == "hang":
            service.mood = replace(service.mood, stall_after=0)
            await self.wait_for_answers(None)
        service.halt(service.mood.drain_end)
        await self.wait_for_answers(1)
        await asyncio.sleep(service.mood.teardown)
        words.tell_stopped()
        self.leave(0)

    async def wait_for_answers(self, seconds: float | None) -> None:
        """Wait until no answer is under way, but no longer than this."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.service.idle.wait(), seconds)

    def on_child(self) -> None:
        """Handle SIGCHLD."""
        if self.service.children.reap() and not self.service.stopping:
            self.lose_core()

    def lose_core(self) -> None:
        """Fail all answers and exit a little later, with 0 unless configured otherwise, as vLLM does."""
        mood = self.service.mood
        self.service.lose_core()
        asyncio.get_running_loop().call_later(mood.core_death, self.leave, mood.exit_code or 0)

    def leave(self, code: int) -> None:
        """Exit with the first code given."""
        if not self.exit.done():
            self.exit.set_result(code)


def bind(service: Service) -> tuple[socket.socket, str]:
    """Bind the address at once, as vLLM does; connections are refused until `listen`."""
    path, host, port = service.option("uds", ""), service.option("host", ""), service.option("port", "8000")
    if not path:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        return listener, f"http://{host or '0.0.0.0'}:{port}"
    listener, before = socket.socket(socket.AF_UNIX), os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    return listener, f"unix:{path}"


def map_segments(count: int) -> list[tuple[Path, mmap.mmap]]:
    """Return mapped shared-memory segments like those between vLLM's processes."""
    found = []
    for _ in range(count):
        path = Path("/dev/shm") / f"psm_{uuid.uuid4().hex[:8]}"
        with path.open("xb+") as file:
            path.chmod(0o600)
            file.truncate(4096)
            found.append((path, mmap.mmap(file.fileno(), 4096)))
    return found


async def live(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Return one whole life; the exit code."""
    try:
        mood = Mood().changed(environ.get("FAKE_ENGINE", "{}"))
    except ValueError as error:
        words.warn(f"FAKE_ENGINE: {error}")
        return 2
    return await Engine(Service(argv, environ, mood)).run()


def main() -> None:
    """Run, and end as ordered: a negative exit code is death by that signal."""
    code = asyncio.run(live(sys.argv[1:], os.environ))
    if code < 0:
        with suppress(OSError):  # SIGKILL needs no such help
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
