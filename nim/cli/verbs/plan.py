"""`nim plan`: what a start would do, and why. Other flags go to the engine, as with `nim serve`."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from nim.cli.agent_flags import take_agent_flags
from nim.cli.machine_options import add_machine_options, find_hardware, is_other_machine
from nim.cli.output.plan import dry_run_text, plan_data
from nim.cli.output.plan_diff import difference, read_plan_data
from nim.cli.write_warnings import write_warnings
from nim.log_format import printable
from nim.planning.checks.check_configured_mounts import probe_mounts
from nim.planning.plan_request import Request
from nim.planning.planner import decide
from nim.selection.explain_selection import explain
from nim.settings import read_settings


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim plan`: print the plan of a start, which writes and starts nothing; return 0."""
    parser = argparse.ArgumentParser(prog="nim plan", description=__doc__, allow_abbrev=False)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the whole plan as one JSON object")
    output.add_argument("--diff", metavar="FILE", help="print the changes since a plan written by --json")
    output.add_argument("--explain", action="store_true", help="explain how the profile was chosen")
    add_machine_options(parser)
    options, rest = parser.parse_known_args(arguments)
    flags, environ = take_agent_flags(rest, environ)
    request = Request(
        settings=read_settings(environ),
        environ=environ,
        hardware=find_hardware(options, environ),
        arguments=flags,
        other_machine=is_other_machine(options),
    )
    probe_mounts(request)
    plan, selection = decide(request)
    if options.diff or options.json or options.explain:
        write_warnings(request.settings, plan.warnings)  # the text includes them
    if options.diff:
        new = json.loads(json.dumps(plan_data(plan)))
        print(printable(difference(read_plan_data(Path(options.diff)), new)), end="")
    elif options.json:
        print(json.dumps(plan_data(plan), ensure_ascii=False, indent=1))
    else:
        print(printable(explain(selection)) if options.explain else dry_run_text(plan), end="")
    return 0
