"""A plan formatted for people and for programs."""

import json
import shlex
from dataclasses import asdict
from typing import Any

from nim.log_format import printable
from nim.plan import Plan
from nim.redact import mask_argv, mask_value
from nim.value_origins import Value


def plan_data(plan: Plan) -> dict[str, Any]:
    """Return the dict that `nim plan --json` prints."""
    return {
        "release": plan.release,
        "hash": plan.hash,
        "model": asdict(plan.model),
        "profile": asdict(plan.profile),
        "engine": asdict(plan.engine) | {"env": mask_value("", plan.engine.env)},
        "gateway": asdict(plan.gateway),
        **({"agent": mask_value("", asdict(plan.agent))} if plan.agent else {}),
        "config": config_data(plan),
        "refused": {refusal.profile: asdict(refusal) for refusal in plan.refused},
        "warnings": plan.warnings,
        "files": {file.path: file.text for file in plan.files},
    }


def config_data(plan: Plan) -> dict[str, Any]:
    """Return {option: dict of value, source and what it overrode}, in the form of NIM's event."""
    return {name: _value_data(value) for name, value in plan.config.items()}


def dry_run_text(plan: Plan) -> str:
    """Return the text of a dry run, as of NIM: profile, resolved configuration, engine command."""
    event = {"event": "nim_config_resolved", "config": config_data(plan)}
    parts = [
        f"Selected profile: {plan.profile.id} ({plan.profile.label}): {plan.profile.because}",
        *[f"Warning: {warning}" for warning in plan.warnings],
        "",
        "Resolved Configuration (JSON)",
        json.dumps(event, ensure_ascii=False, indent=2),
        "",
        "Engine Environment",
        *[f"{name}={value}" for name, value in mask_value("", plan.engine.env).items()],
        "",
        "Backend Arguments",
        command_text(plan),
        *_agent_lines(plan),
    ]
    return printable("\n".join(parts) + "\n")


def _agent_lines(plan: Plan) -> list[str]:
    """Return lines about the agent; [] without one."""
    if plan.agent is None:
        return []
    agent = mask_value("", asdict(plan.agent))
    routes = [f"{', '.join(route.methods)} {route.path}" for route in plan.gateway.agent_routes]
    return ["", "Agent", json.dumps(agent, ensure_ascii=False, indent=2), *routes]


def command_text(plan: Plan) -> str:
    """Return the engine's command as shell text, one flag a line, with secrets masked."""
    lines: list[list[str]] = [[]]
    for word in mask_argv(plan.engine.argv):
        if word.startswith("-") and lines[-1]:
            lines.append([])
        lines[-1].append(word)
    return " \\\n    ".join(shlex.join(line) for line in lines)


def _value_data(value: Value) -> dict[str, Any]:
    """Return a dict of a value, its origin and the values it overrode."""
    data: dict[str, Any] = {
        "value": value.value,
        "source": value.origin.layer.name,
        "place": value.origin.place,
    }
    previous: dict[str, Any] | None = None
    for older in reversed(value.previous):
        previous = _value_data(older) | ({"previous": previous} if previous else {})
    return data | ({"previous": previous} if previous else {})
