"""Run the agent's process: read the plan, listen on the private socket, stop on a signal."""

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from nim.agent.api.app import build_app
from nim.errors import NimError, PreflightError
from nim.plan import AGENT_JOBS_DIR, AGENT_SOCKET, PLAN_FILE, Plan

log = logging.getLogger(__name__)

# nginx keeps idle connections for ten seconds: no request may meet one that was just closed.
KEEP_ALIVE_SECONDS = 30
SHUTDOWN_SECONDS = 1


def main(run_dir: str, key: str | None, db_url: str | None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. `key`: what the engine asks for, if anything.

    `db_url`: where jobs are kept; None: in the run directory.
    """
    try:
        plan = Plan.from_json((Path(run_dir) / PLAN_FILE).read_text(encoding="utf-8"))
        level = logging.getLevelNamesMapping().get(plan.log_level.upper(), logging.INFO)
        logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        for noisy in (
            "httpx2",
            "httpcore2",
            "openai",
            "asyncio",
        ):  # whole requests, at the level of debugging
            logging.getLogger(noisy).setLevel(logging.WARNING)
        serve(plan, key, db_url)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"CRITICAL nim.agent.serve: cannot serve {run_dir}: {error}\n")
        return PreflightError.exit_code
    except NimError as error:
        sys.stderr.write(f"CRITICAL nim.agent.serve: {error}\n")
        return error.exit_code
    return 0


def serve(plan: Plan, key: str | None, db_url: str | None) -> None:
    """Serve the agent's application on the unix socket in the run directory until a stop signal."""
    assert plan.agent
    address = plan.engine.address
    path = plan.file(AGENT_SOCKET)
    if plan.agent.jobs and db_url is None:
        plan.file(AGENT_JOBS_DIR).mkdir(mode=0o700, exist_ok=True)
        db_url = f"sqlite+aiosqlite:///{plan.file(AGENT_JOBS_DIR)}/jobs.db"
    asked = key if "VLLM_API_KEY" not in plan.engine.unset else None
    app = build_app(plan.agent, address, db_url, asked)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again once it has stopped
        signal.signal(number, lambda *_: None)
    taken = _listener(path)
    log.info('agent answers at "%s"', path)
    asyncio.run(_until_stopped(uvicorn.Server(config), taken, path))


async def _until_stopped(server: uvicorn.Server, taken: socket.socket, path: Path) -> None:
    """Serve until a stop signal, then end the process: a thread of a workflow may go on for long."""
    try:
        await server.serve(sockets=[taken])
    finally:
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - nothing else runs any more
    logging.shutdown()
    os._exit(0 if server.started else 1)


def _listener(path: Path) -> socket.socket:
    """Return a unix socket bound to `path`; the run directory and the umask keep others out."""
    path.unlink(missing_ok=True)
    taken = socket.socket(socket.AF_UNIX)
    taken.bind(str(path))
    return taken
