"""`nim drain`: shut a running service down gracefully and wait until it has ended (for a preStop hook)."""

import argparse
import os
import time
from collections.abc import Mapping, Sequence

from nim.errors import PreflightError
from nim.planning.read_host_facts import run_directory
from nim.settings import read_settings
from nim.supervision import drain


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim drain`: start the same shutdown as SIGTERM and wait for its end; return the exit code."""
    parser = argparse.ArgumentParser(prog="nim drain", description=__doc__)
    parser.add_argument("--no-wait", action="store_true", help="return without waiting for the end")
    options = parser.parse_args(arguments)
    settings = read_settings(environ)
    pid = drain(run_directory(settings))
    print(f"stopping the service of process {pid}")
    return 0 if options.no_wait else _wait(pid, settings.shutdown_timeout)


def _wait(pid: int, seconds: float) -> int:
    """Wait for the process to end, at most `seconds` + 5; return 0, PreflightError if it still runs."""
    deadline = time.monotonic() + seconds + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return 0
        time.sleep(0.1)
    raise PreflightError(
        f"cannot confirm the end of process {pid}: its shutdown time is over", hint=f"kill -9 {pid}"
    )
