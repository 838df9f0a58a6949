"""`nim routes`: every route, whether it is open and why; optionally compared with a running engine."""

import argparse
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from nim.cli.fetch_openapi_document import fetch_document, fetch_engine_document
from nim.cli.output.route_reference import describe_routes
from nim.cli.write_warnings import write_warnings
from nim.errors import PreflightError
from nim.frozen_dataclass import frozen_dataclass
from nim.models.requested_model import wished_model
from nim.models.served_tasks import served_tasks
from nim.options.resolve_nginx_settings import route_groups
from nim.options.route_states import RouteState, Stray, hidden_in, route_states, strays
from nim.plan import PLAN_FILE, Plan
from nim.planning.plan_agent import configured_routes
from nim.planning.read_host_facts import run_directory
from nim.planning.read_model_facts import read_facts
from nim.preflight.run_directory import open_private
from nim.read_regular_file import read_text
from nim.redact import known_secrets
from nim.routes import ROUTES, Group, Route, open_instead
from nim.settings import Settings, read_settings

# The gateway's own routes, which no engine has.
OUR_PATHS = frozenset(r.path for r in ROUTES if r.group in (Group.HEALTH, Group.MANAGEMENT))


@frozen_dataclass
class Found:
    """The data to print. `strays` is None if no engine was asked; `instead`: closed path → open one."""

    states: tuple[RouteState, ...]
    strays: tuple[Stray, ...] | None
    instead: Mapping[str, str]


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim routes`: print all routes and which are open; compare with an engine if asked; return 0."""
    parser = argparse.ArgumentParser(prog="nim routes", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="compare with the engine at this address, such as http://127.0.0.1:8001")
    where.add_argument(
        "--running", action="store_true", help="compare with the engine of the service in NIM_RUN_DIR"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--markdown", action="store_true", help="print the reference page of docs/")
    options = parser.parse_args(arguments)
    if options.markdown:
        print(describe_routes(), end="")
        return 0
    settings = read_settings(environ)
    write_warnings(settings, settings.warnings, known_secrets(environ))
    found = _of_running(settings) if options.running else _of_settings(settings, options.url)
    print(json.dumps(_data(found), indent=1) if options.json else _text(found))
    return 0


def _of_settings(settings: Settings, url: str | None) -> Found:
    """Return the Found routes for the groups that a start with these settings would open."""
    has_adapters = settings.peft_source is not None
    document = fetch_document(url) if url else None
    tasks = _tasks(settings)
    groups = route_groups(settings, catalog=settings.catalog in ("on", "strict"))
    agent = configured_routes(settings)
    return _found(groups, has_adapters=has_adapters, tasks=tasks, document=document, agent=agent)


def _of_running(settings: Settings) -> Found:
    """Return the Found routes of the service in the run directory, compared with its engine.

    PreflightError if the directory is not private to this user: its plan names the address that is asked.
    """
    run_dir = run_directory(settings)
    try:
        directory = open_private(Path(run_dir))
        try:
            plan = Plan.from_json(read_text(Path(f"/proc/self/fd/{directory}", PLAN_FILE)))
        finally:
            os.close(directory)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PreflightError(
            f'cannot inspect a running service: there is no plan of one in "{run_dir}" ({error})',
            hint="NIM_RUN_DIR=… the value that the service has",
        ) from None
    document = fetch_engine_document(plan.engine)
    gateway = plan.gateway
    return _found(
        gateway.route_groups,
        has_adapters=plan.adapters is not None,
        tasks=gateway.tasks,
        document=document,
        agent=gateway.agent_routes,
    )


def _tasks(settings: Settings) -> tuple[str, ...] | None:
    """Return what the model does that the settings name, if its files are a directory here; else None."""
    wish = wished_model(settings, None)
    return served_tasks(read_facts(wish.source, {}, {})) if wish.source and wish.source.path else None


def _found(
    groups: Collection[str],
    *,
    has_adapters: bool,
    tasks: Collection[str] | None,
    document: Any,
    agent: Collection[Route],
) -> Found:
    """Return the state of every route as Found, compared with an engine's OpenAPI document if given."""
    if document is None:
        states = route_states(groups, has_adapters=has_adapters, tasks=tasks, agent=agent)
        return Found(states=states, strays=None, instead=open_instead(groups))
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise PreflightError("cannot compare: the answer is no OpenAPI document", hint="nim routes -h")
    if not OUR_PATHS.isdisjoint(document["paths"]):
        raise PreflightError(
            "cannot compare: this is the address of the gateway, whose document lists only open routes",
            hint="nim routes --running, or --url with the engine's own address",
        )
    paths = document["paths"]
    states = route_states(groups, has_adapters=has_adapters, tasks=tasks, engine_paths=paths, agent=agent)
    return Found(states=states, strays=strays(document), instead=open_instead(groups))


def _text(found: Found) -> str:
    """Return the routes as a table in text, then those of the engine that are closed."""
    rows = [_row(state) for state in found.states]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if found.strays is not None:
        kept = {state.route.path: state.because for state in hidden_in(found.states)}
        lines += ["", f"Of the engine's routes, {len(kept)} are kept back:"]
        lines += [f"  {path}: {because}" for path, because in kept.items()] or ["  none"]
        lines += ["", "In no group, so closed:"]
        lines += [f"  {', '.join(stray.methods)} {stray.path}" for stray in found.strays] or ["  none"]
    return "\n".join(lines)


def _row(state: RouteState) -> tuple[str, ...]:
    """Return the table row of a route as a tuple of texts."""
    route = state.route
    method = "WebSocket" if route.websocket else ", ".join(route.methods)
    why = [state.because]
    if state.opened_by:
        why.append(f"{state.opened_by} opens it")
    if route.note and route.note != state.because:
        why.append(route.note)
    engine = {True: "engine has it", False: "engine lacks it", None: ""}[state.in_engine]
    word = "open" if state.is_open else "hidden" if route.group is Group.HIDDEN else "closed"
    return word, method, route.path, route.group.value, engine, "; ".join(why)


def _data(found: Found) -> dict[str, Any]:
    """Return the routes as a dict for JSON."""
    rows = [
        {
            "path": state.route.path,
            "methods": list(state.route.methods),
            "websocket": state.route.websocket,
            "group": state.route.group.value,
            "answered_by": state.route.target.value,
            "open": state.is_open,
            "because": state.because,
            "opened_by": state.opened_by,
            "note": state.route.note,
            "instead": None if state.is_open else found.instead.get(state.route.path),
            "in_engine": state.in_engine,
        }
        for state in found.states
    ]
    unknown = None
    if found.strays is not None:
        unknown = [{"path": stray.path, "methods": list(stray.methods)} for stray in found.strays]
    return {"routes": rows, "in_no_group": unknown}
