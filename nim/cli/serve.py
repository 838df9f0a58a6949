"""`nim serve [MODEL] [ENGINE FLAGS]`: decide, check, then become the process that runs the service."""

import sys
import time
from collections.abc import Mapping, Sequence

from nim.cli.launch import Request, decide, refuse_missing_engine
from nim.cli.show import dry_run_text
from nim.hardware import detect_hardware, refuse_old_driver
from nim.logs import Form
from nim.plan import Plan
from nim.process import start
from nim.settings import read_settings

# CUDA 13, which the pinned engine is built for.
DRIVER_NEEDED = 580

USAGE = """usage: nim serve [-h] [--dry-run] [MODEL] [ENGINE FLAGS]

Starts the service and stays until it is stopped. MODEL is a directory or hf://org/name[:revision];
every other flag goes to the engine, and overrides NIM_PASSTHROUGH_ARGS and the NIM_* variables.

  -h, --help   this text; `nim settings` lists the variables
  --dry-run    print the profile, the configuration and the engine's command, and start nothing
"""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve. Returns only for `-h` and `--dry-run`: a start replaces this process."""
    if any(word in ("-h", "--help") for word in arguments):
        print(USAGE, end="")
        return 0
    settings = read_settings(environ)
    hardware = detect_hardware(environ)
    rest = tuple(word for word in arguments if word != "--dry-run")
    request = Request(settings=settings, environ=environ, hardware=hardware, arguments=rest)
    if len(rest) < len(arguments):
        print(dry_run_text(decide(request)[0]), end="")
        return 0
    refuse_old_driver(hardware, DRIVER_NEEDED)
    refuse_missing_engine(settings)
    plan, _ = decide(request)
    announce(plan)
    return start(plan, environ)


def announce(plan: Plan) -> None:
    """Say what is about to run and why, and what the user should know of it, in the form of the log."""
    form = Form(as_json=plan.json_logs, level=plan.log_level)
    profile = plan.profile
    chosen = (
        f"serving {plan.model.name} with profile {profile.label} ({profile.because}), plan {plan.hash[:12]}"
    )
    for level, message in [("INFO", chosen), *(("WARNING", warning) for warning in plan.warnings)]:
        if form.wants(level):
            sys.stderr.write(form.line(level, "nim", message, at=time.time()))
    sys.stderr.flush()
