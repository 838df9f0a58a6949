"""`nim plan`: what a start would do, and why. Other flags go to the engine, as with `nim serve`."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nim.cli.diff import difference, read_plan_data
from nim.cli.launch import Request, command_text, decide
from nim.cli.machine import add_machine_options, find_hardware
from nim.decide.explain import explain
from nim.plan import Plan
from nim.settings import read_settings
from nim.values import Value


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the plan; start nothing, write nothing."""
    parser = argparse.ArgumentParser(prog="nim plan", description=__doc__, allow_abbrev=False)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="the whole plan as one object")
    output.add_argument("--diff", metavar="FILE", help="what changed since a plan that --json wrote")
    output.add_argument("--explain", action="store_true", help="how the profile was chosen")
    add_machine_options(parser)
    options, rest = parser.parse_known_args(arguments)
    request = Request(
        settings=read_settings(environ),
        environ=environ,
        hardware=find_hardware(options, environ),
        arguments=tuple(rest),
        made_up=bool(options.gpus or options.hardware),
    )
    plan, selection = decide(request)
    if options.diff:
        new = json.loads(json.dumps(plan_data(plan)))
        print(difference(read_plan_data(Path(options.diff)), new), end="")
    elif options.json:
        print(json.dumps(plan_data(plan), ensure_ascii=False, indent=1))
    else:
        print(explain(selection) if options.explain else dry_run_text(plan), end="")
    return 0


def plan_data(plan: Plan) -> dict[str, Any]:
    """The plan as `nim plan --json` prints it."""
    return {
        "release": plan.release,
        "hash": plan.hash,
        "model": asdict(plan.model),
        "profile": asdict(plan.profile),
        "engine": asdict(plan.engine),
        "gateway": asdict(plan.gateway),
        "config": config_data(plan),
        "refused": {refusal.profile: asdict(refusal) for refusal in plan.refused},
        "warnings": plan.warnings,
        "files": {file.path: file.text for file in plan.files},
    }


def config_data(plan: Plan) -> dict[str, Any]:
    """Each resolved value with its source and what it overrode, as NIM's event writes them."""
    return {name: _value_data(value) for name, value in plan.config.items()}


def dry_run_text(plan: Plan) -> str:
    """What NIM's dry run prints: the profile, the resolved configuration, the engine's command."""
    event = {"event": "nim_config_resolved", "config": config_data(plan)}
    parts = [
        f"Selected profile: {plan.profile.id} ({plan.profile.label}): {plan.profile.because}",
        *[f"Warning: {warning}" for warning in plan.warnings],
        "",
        "Resolved Configuration (JSON)",
        json.dumps(event, ensure_ascii=False, indent=2),
        "",
        "Engine Environment",
        *[f"{name}={value}" for name, value in plan.engine.env.items()],
        "",
        "Backend Arguments",
        command_text(plan),
    ]
    return "\n".join(parts) + "\n"


def _value_data(value: Value) -> dict[str, Any]:
    data: dict[str, Any] = {
        "value": value.value,
        "source": value.origin.layer.name,
        "place": value.origin.place,
    }
    previous: dict[str, Any] | None = None
    for older in reversed(value.previous):
        previous = _value_data(older) | ({"previous": previous} if previous else {})
    return data | ({"previous": previous} if previous else {})
