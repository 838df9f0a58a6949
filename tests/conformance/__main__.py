"""Run the conformance kit, `python -m tests.conformance`, and print a table of results.

Exit code 0: nothing fails; 1: something does; 2: bad usage.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.conformance import table
from tests.conformance.check import Check, Result, Verdict, run
from tests.conformance.image import IMAGE
from tests.conformance.inference import INFERENCE
from tests.conformance.launcher import Container, Launcher, Program, find_tool
from tests.conformance.load import LOAD
from tests.conformance.management import MANAGEMENT
from tests.conformance.probes import PROBES
from tests.conformance.profiles import PROFILES
from tests.conformance.rows import NOT_ASKED, ROWS
from tests.conformance.start import START, begin
from tests.conformance.stop import STOP
from tests.conformance.target import Target

COMMANDS: tuple[Check, ...] = (*IMAGE, *PROFILES)
CHECKS: tuple[Check, ...] = (*COMMANDS, *START, *PROBES, *MANAGEMENT, *INFERENCE, *LOAD, *STOP)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    which = made.add_mutually_exclusive_group(required=True)
    which.add_argument("--url", help="a service that runs, such as http://localhost:8000")
    which.add_argument("--image", help="an image, which podman or docker starts and stops")
    which.add_argument("--program", help="a program that takes what the image would, started and stopped")
    which.add_argument(
        "--list", action="store_true", help="name what is expected and checked, and do nothing"
    )
    made.add_argument("--health-url", help="its health port, such as http://localhost:8081")
    made.add_argument("--pid", type=int, help="with --url: send SIGTERM to this process at the end")
    made.add_argument("--model", help="the name in requests (default: the first of /v1/models)")
    made.add_argument("--model-path", help="a model's directory, as the program sees it")
    made.add_argument("--api-key", help="sent with every request")
    made.add_argument("--tool", help="podman or docker, with its own options (default: the first that works)")
    made.add_argument("--cache", help="a directory for /model-store; without it a temporary one")
    made.add_argument(
        "--run-option", action="append", default=[], metavar="OPTION", help="for podman or docker"
    )
    made.add_argument("--ready-seconds", type=float, default=1800, help="how long a start may take")
    made.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="checks with this in their name"
    )
    made.add_argument("--commands-only", action="store_true", help="with --image or --program: serve nothing")
    made.add_argument("--json", action="store_true", help="as data")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    checks = [one for one in (COMMANDS if options.commands_only else CHECKS) if _wanted(one, options.only)]
    if options.list:
        print("\n".join(_listed(checks)))
        return 0
    with _target(options) as target:
        results = list(_report_lines(run(checks, target), quiet=options.json))
    print(table.as_json(results) if options.json else f"\n{table.summary(results)}")
    return int(any(one.verdict is Verdict.FAIL for one in results))


def _listed(checks: Sequence[Check]) -> Iterator[str]:
    """Yield what is expected, by what it is checked, or why it is not."""
    for row, expectation in ROWS.items():
        yield f"{row:<4} {expectation}"
        yield from (f"{'':5}{one.name:<{table.NAME_WIDTH}} {one.source}" for one in checks if row in one.rows)
        if row in NOT_ASKED:
            yield f"{'':5}not asked: {NOT_ASKED[row]}"


def _wanted(one: Check, only: Sequence[str]) -> bool:
    return not only or any(text in one.name for text in only)


def _report_lines(results: Iterator[Result], *, quiet: bool) -> Iterator[Result]:
    for one in results:
        if not quiet:
            print(table.line(one), flush=True)
        yield one


@contextmanager
def _target(options: argparse.Namespace) -> Iterator[Target]:
    """Yield what is judged, started where that is asked for, and removed again."""
    target = Target(
        url=options.url,
        health_url=options.health_url,
        model=options.model,
        key=options.api_key,
        pid=options.pid,
        model_path=options.model_path,
        launcher=_launcher(options),
    )
    if target.launcher is None:
        yield target
        return
    try:
        if not options.commands_only:
            begin(target, options.ready_seconds)
        yield target
    finally:
        if target.running:
            target.running.destroy()
        target.launcher.close()


def _launcher(options: argparse.Namespace) -> Launcher | None:
    if options.program:
        return Program(options.program)
    if not options.image:
        return None
    tool = tuple(shlex.split(options.tool or find_tool() or ""))
    if not tool:
        print("cannot start an image: neither podman nor docker works here", file=sys.stderr)
        sys.exit(2)
    return Container(options.image, tool, tuple(options.run_option), options.cache)


if __name__ == "__main__":
    sys.exit(main())
