"""Run the middleware process: read the plan, listen on the private socket, stop on a signal."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from nim.errors import NimError, PreflightError
from nim.middleware.management_app import build_app
from nim.plan import MIDDLEWARE_SOCKET, PLAN_FILE, Plan

log = logging.getLogger(__name__)

# Limit for answers in progress at the end; the whole exit stays under a second.
SHUTDOWN_TIMEOUT_SECONDS = 0.3


def main(arguments: Sequence[str], run_dir: str | None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. The first argument overrides `run_dir`."""
    try:
        plan = read_plan(arguments[0] if arguments else run_dir)
        level = logging.getLevelNamesMapping().get(plan.log_level.upper(), logging.INFO)
        logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        asyncio.run(serve(plan))
    except NimError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def read_plan(run_dir: str | None) -> Plan:
    """Return the Plan in plan.json of the run directory; PreflightError if it cannot be read."""
    if not run_dir:
        raise PreflightError("cannot serve without a run directory", hint="python -m nim.middleware RUN_DIR")
    path = Path(run_dir) / PLAN_FILE
    try:
        return Plan.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f'cannot read the plan "{path}": {error}'
        raise PreflightError(message, hint="nim serve writes it") from error


async def serve(plan: Plan) -> None:
    """Serve the management API on the unix socket in the run directory until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    path = plan.file(MIDDLEWARE_SOCKET)
    taken = listener(path)
    # Cancelled with the client's connection: a request waits for the engine as long as its client does.
    runner = web.AppRunner(
        build_app(plan),
        access_log=None,
        shutdown_timeout=SHUTDOWN_TIMEOUT_SECONDS,
        handler_cancellation=True,
    )
    try:
        await runner.setup()
        await web.SockSite(runner, taken).start()
        log.info('middleware answers at "%s"', path)
        await stop.wait()
    finally:
        path.unlink(missing_ok=True)
        await runner.cleanup()


def listener(path: Path) -> socket.socket:
    """Return a unix socket bound to `path` for this user only, replacing a left one; or PreflightError."""
    if path.is_socket():
        path.unlink()
    taken = socket.socket(socket.AF_UNIX)
    before = os.umask(0o077)
    try:
        taken.bind(str(path))
    except OSError as error:
        taken.close()
        message = f'cannot listen at "{path}": {error.strerror or error}'
        raise PreflightError(message, hint="NIM_RUN_DIR") from error
    finally:
        os.umask(before)
    return taken
