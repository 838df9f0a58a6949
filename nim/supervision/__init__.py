"""The acting end: a plan becomes processes, and one of them stays to answer for all the others.

`start` replaces the calling process by PID 1 of the service; `drain` asks a running service to stop.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from nim.errors import PreflightError

if TYPE_CHECKING:
    from nim.plan import Plan


def start(make_plan: "Callable[[], Plan]", environ: Mapping[str, str]) -> NoReturn:
    """Check everything, write the run directory, become PID 1. Any NimError: nothing was started.

    Supervisord imports itself while `make_plan` thinks; a refusal ends it again.
    """
    from nim.supervision.spawn import Supervisord  # PID 1 itself needs nothing of all this

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
    """Have the service of a run directory begin its stop; its pid. PreflightError: none runs there."""
    from nim.preflight.run_directory import ask_to_drain

    return ask_to_drain(run_dir)
