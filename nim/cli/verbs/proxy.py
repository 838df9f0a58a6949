"""`nim proxy [FILE]`: one address for many models and replicas; `nim proxy status` shows a running one."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nim.log_format import Form
from nim.plan import Plan
from nim.supervision import start

if TYPE_CHECKING:
    from nim.proxy.make_plan import Wanted

USAGE = """usage: nim proxy [-h] [--check] [FILE]
       nim proxy status [--json]

Starts a proxy and stays until it is stopped. FILE describes the backends in YAML or JSON (docs/proxy.md);
without it, NIM_PROXY_BACKENDS has them.

  -h, --help   this text; `nim settings` lists the variables
  --check      check the backends and the settings, print what they are, and start nothing
  status       print the state of the proxy that runs in NIM_RUN_DIR; --json prints JSON
"""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim proxy`. Returns only for -h, --check and status; otherwise PID 1 replaces this process."""
    if any(word in ("-h", "--help") for word in arguments):
        print(USAGE, end="")
        return 0
    if arguments[:1] == ["status"]:
        from nim.cli.output.proxy_status import print_status

        return print_status(arguments[1:], environ)
    check = "--check" in arguments
    file = _file([word for word in arguments if word != "--check"])
    if not check:
        start(lambda: _plan(file, environ), environ)
    from nim.cli.output.proxy_status import backends_text

    wanted, _ = _decide(file, environ)
    print(backends_text(wanted.backends), end="")
    return 0


def _file(words: Sequence[str]) -> str | None:
    """Return the file in the arguments, None without one; SettingsError for anything else."""
    from nim.errors import SettingsError

    flags = [word for word in words if word.startswith("-")]
    if flags or len(words) > 1:
        wrong = (flags or words[1:])[0]
        raise SettingsError(
            f"cannot use '{wrong}' with nim proxy", allowed=("FILE", "--check", "status"), hint="nim proxy -h"
        )
    return words[0] if words else None


def _decide(file: str | None, environ: Mapping[str, str]) -> "tuple[Wanted, Plan]":
    """Return (backends, Plan of a start); NimError for what is wrong in the file or the settings."""
    from nim.proxy.make_plan import make_proxy_plan, read_wanted
    from nim.settings import read_settings

    settings = read_settings(environ)
    wanted = read_wanted(file, settings, environ)
    return wanted, make_proxy_plan(wanted, settings, environ)


def _plan(file: str | None, environ: Mapping[str, str]) -> Plan:
    """Return the Plan of a start, and log what is behind the proxy."""
    wanted, plan = _decide(file, environ)
    form = Form(as_json=plan.json_logs, level=plan.log_level)
    urls = sum(len(backend.urls) for backend in wanted.backends)
    said = [("INFO", f"a proxy for {len(wanted.backends)} backends with {urls} URLs, plan {plan.hash[:12]}")]
    for level, message in [*said, *(("WARNING", warning) for warning in plan.warnings)]:
        if form.wants(level):
            sys.stderr.write(form.line(level, "nim", message, at=time.time()))
    sys.stderr.flush()
    return plan
