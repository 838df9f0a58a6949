"""An agent behind a real uvicorn, before an engine that answers as scripted."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn

from nim.agent.api.app import build_app
from nim.plan import AgentPlan, Component, FrontEnd, Jobs
from tests.agent.scripted_engine import ScriptedEngine, Turn

OWN = '''
import asyncio
import time
from pathlib import Path

def echo(request):
    return request.text

async def parts(request, context):
    yield "one "
    yield "two"

async def breaks(request, context):
    yield "one "
    yield "two"
    raise ValueError("no third part")

async def slow(request, context):
    with (Path(__file__).parent / "runs").open("a") as runs:
        runs.write(f"start {request.text}\\n")
    await asyncio.sleep(float(request.text))
    with (Path(__file__).parent / "runs").open("a") as runs:
        runs.write(f"end {request.text}\\n")
    return "slept"

def raises(request):
    raise ValueError("told to fail")

def waits_for_go(request):
    limit = time.monotonic() + 300 if request.text == "long" else time.monotonic() + 10
    while not (Path(__file__).parent / "go").exists():
        if time.monotonic() > limit:
            return "late"
        time.sleep(0.01)
    return "in time"

async def many_steps(request, context):
    for _ in range(100):
        with context.span("TOOL", "one of many"):
            pass
    (Path(__file__).parent / "runs").touch()

def many_steps_of_a_thread(request, context):
    asyncio.run(many_steps(request, context))

def leaves(request):
    raise SystemExit(3)

def stops(request):
    raise StopIteration(3)

def tuple_keys(request):
    return {("a", "b"): 1}

def cycle(request=None):
    value = []
    value.append(value)
    return value

async def seen(request, context):
    return {"messages": list(request.messages), "headers": dict(request.headers)}

def explode(text: str) -> str:
    """Fail."""
    raise RuntimeError("a tool that raises")
'''


@dataclass
class Agent:
    """A running agent. `sse` reads the lines of an event stream."""

    session: aiohttp.ClientSession
    engine: ScriptedEngine
    socket: Path

    async def post(self, path: str, body: Any, **more: Any) -> tuple[int, Any]:
        """Return status and JSON body."""
        async with self.session.post(f"http://agent{path}", json=body, **more) as answer:
            return answer.status, await answer.json()

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.session.request(method, f"http://agent{path}", **more) as answer:
            return answer.status, await answer.json()

    async def events(self, path: str, body: Any, **more: Any) -> list[tuple[str, Any]]:
        """Return the events of a stream as (field, value); each must end with an empty line."""
        async with self.session.post(f"http://agent{path}", json=body, **more) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            text = await answer.text()
        assert text.endswith("\n\n")
        fields = (event.split(": ", 1) for event in text.removesuffix("\n\n").split("\n\n"))
        return [(name, value if value == "[DONE]" else json.loads(value)) for name, value in fields]


Start = Callable[..., Awaitable[Agent]]


@pytest.fixture
async def start(directory: Path) -> AsyncIterator[Start]:
    """Yield a function that starts an agent with a workflow, its options, and what the engine answers."""
    (directory / "own_workflows.py").write_text(OWN, encoding="utf-8")
    async with AsyncExitStack() as stack:

        async def run(
            kind: str = "chat",
            *turns: Turn,
            functions: dict[str, Component] | None = None,
            llms: dict[str, Component] | None = None,
            front_end: FrontEnd | None = None,
            jobs: Jobs | None = None,
            db_url: str | None = None,
            **options: Any,
        ) -> Agent:
            engine = ScriptedEngine(list(turns) or [Turn(text="Hello to you")])
            engine_socket, socket = directory / "engine.sock", directory / "agent.sock"
            served = await engine.start(engine_socket)
            stack.push_async_callback(served.cleanup)
            plan = AgentPlan(
                directory=str(directory),
                model="a-model",
                workflow=Component(kind=kind, options=options),
                front_end=front_end or FrontEnd(),
                functions=functions or {},
                llms=llms or {},
                jobs=jobs,
            )
            app = build_app(plan, f"unix:{engine_socket}", db_url)
            await stack.enter_async_context(_serving(app, socket))
            connector = aiohttp.UnixConnector(str(socket), limit=0)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            return Agent(session=session, engine=engine, socket=socket)

        yield run
    for name in ("own_workflows", "my_workflow"):
        sys.modules.pop(name, None)
    sys.path[:] = [path for path in sys.path if path != str(directory)]


class _serving:  # noqa: N801 - used like a function
    """Serve an application on a unix socket with uvicorn, until the context ends."""

    def __init__(self, app: Any, socket: Path) -> None:
        config = uvicorn.Config(
            app, uds=str(socket), log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
        self._server, self._socket = uvicorn.Server(config), socket

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._server._serve())
        async with asyncio.timeout(30):
            while not self._server.started:
                assert not self._task.done(), self._task
                await asyncio.sleep(0.01)

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._task
        self._socket.unlink(missing_ok=True)
