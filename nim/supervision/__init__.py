"""PID 1 and the programs it runs: nginx, the engine and the middleware under supervisord.

`start` replaces the calling process by PID 1 of the service; `drain` asks a running service to stop.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from nim.errors import PreflightError

if TYPE_CHECKING:
    from nim.plan import Plan


def start(make_plan: "Callable[[], Plan]", environ: Mapping[str, str]) -> NoReturn:
    """Make and check the plan, write the run directory, become PID 1 by exec; NimError if refused.

    Raises NimError if anything is refused; then nothing has been started. Supervisord is imported in a child
    process while `make_plan` runs, and is dismissed if the plan is refused.
    """
    from nim.supervision.supervisord.start_supervisord import (
        Supervisord,  # imported here so that PID 1 does not load it
    )

    try:
        supervisord = Supervisord.prepare()
    except OSError as error:
        raise PreflightError(
            f"cannot start supervisord: {error.strerror}",
            hint="ulimit -u, or the limit on processes of the container",
        ) from error
    try:
        plan = make_plan()
        from nim.supervision.launch import launch

        launch(plan, environ, supervisord)
    except BaseException:
        supervisord.dismiss()
        raise


def drain(run_dir: str) -> int:
    """Send SIGUSR1 to the service that runs in `run_dir`; return its pid, PreflightError if none runs."""
    from nim.preflight.send_drain_signal import ask_to_drain

    return ask_to_drain(run_dir)
