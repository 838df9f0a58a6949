"""`nim serve [MODEL] [ENGINE FLAGS]`: plan, check, then become the process that runs the service."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nim.cli.agent_flags import take_agent_flags
from nim.log_format import Form
from nim.plan import Plan
from nim.supervision import start

if TYPE_CHECKING:
    from nim.planning.plan_request import Request

# The driver of CUDA 13, for which the pinned engine is built.
DRIVER_NEEDED = 580

USAGE = """usage: nim serve [-h] [--dry-run] [MODEL] [ENGINE FLAGS]

Starts the service and stays until it is stopped. MODEL is a directory or hf://org/name[:revision];
every other flag goes to the engine, and overrides NIM_PASSTHROUGH_ARGS and the NIM_* variables.

  -h, --help   this text; `nim settings` lists the variables
  --config_file, --max_concurrent_jobs, --dask_workers …: the agent's, as in docs/agent.md
  --dry-run    print the profile, the configuration and the engine's command, and start nothing
"""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim serve`. Returns only for `-h` and `--dry-run`; otherwise PID 1 replaces this process."""
    if any(word in ("-h", "--help") for word in arguments):
        print(USAGE, end="")
        return 0
    flags = tuple(word for word in arguments if word != "--dry-run")
    dry = len(flags) < len(arguments)
    flags, environ = take_agent_flags(flags, environ)
    if not dry:
        start(lambda: plan_start(flags, environ), environ)
    print(dry_run(flags, environ), end="")
    return 0


# Importing the deciding packages takes half of the launcher's time, so supervisord is started before.


def plan_start(flags: tuple[str, ...], environ: Mapping[str, str]) -> Plan:
    """Return the Plan of a start and log the chosen profile; NimError for what is known to fail."""
    from nim.hardware import refuse_old_driver
    from nim.planning.checks.check_configured_mounts import probe_mounts
    from nim.planning.planner import decide, refuse_missing_engine

    request = read(flags, environ)
    refuse_old_driver(request.hardware, DRIVER_NEEDED)
    refuse_missing_engine(request.settings)
    probe_mounts(request)
    plan, _ = decide(request)
    announce(plan)
    return plan


def dry_run(flags: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """Return the plan of a start as text; nothing is started."""
    from nim.cli.output.plan import dry_run_text
    from nim.planning.checks.check_configured_mounts import probe_mounts
    from nim.planning.planner import decide

    request = read(flags, environ)
    probe_mounts(request)
    return dry_run_text(decide(request)[0])


def read(flags: tuple[str, ...], environ: Mapping[str, str]) -> "Request":
    """Read the settings, detect this machine's hardware; return a Request with `flags`."""
    from nim.hardware import detect_hardware
    from nim.planning.plan_request import Request
    from nim.settings import read_settings

    settings = read_settings(environ)
    return Request(settings=settings, environ=environ, hardware=detect_hardware(environ), arguments=flags)


def announce(plan: Plan) -> None:
    """Write the chosen profile with the reason, and all warnings, to stderr."""
    form = Form(as_json=plan.json_logs, level=plan.log_level)
    profile = plan.profile
    chosen = (
        f"serving {plan.model.name} with profile {profile.label} ({profile.because}), plan {plan.hash[:12]}"
    )
    said = [("INFO", chosen), *(("INFO", line) for line in _trusted_code(plan))]
    for level, message in [*said, *(("WARNING", warning) for warning in plan.warnings)]:
        if form.wants(level):
            sys.stderr.write(form.line(level, "nim", message, at=time.time()))
    sys.stderr.flush()


def _trusted_code(plan: Plan) -> tuple[str, ...]:
    """Return a tuple with a remark that the model's own code may run; () if it may not."""
    trust = plan.config.get("trust_remote_code")
    if not trust or not trust.value:
        return ()
    return (f"Python code that comes with the model may run: --trust-remote-code, {trust.origin}",)
