"""The state of each route: open or closed, why, and how to open it; and differences from a running engine."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.routes import ALWAYS_OPEN, OPEN_BY_DEFAULT, ROUTES, Group, Route, Target
from nim.tasks_of_routes import why_not

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})


@frozen_dataclass
class RouteState:
    """One route of the table. `in_engine` is None if no engine was asked or its document cannot tell."""

    route: Route
    is_open: bool
    because: str
    opened_by: str | None
    in_engine: bool | None = None


@frozen_dataclass
class Stray:
    """A route that an engine has and the table lacks: closed, like every route without a group."""

    path: str
    methods: tuple[str, ...]


def route_states(
    groups: Collection[str],
    *,
    has_adapters: bool,
    tasks: Collection[str] | None = None,
    engine_paths: Collection[str] | None = None,
    agent: Collection[Route] = (),
) -> tuple[RouteState, ...]:
    """Return a RouteState for every known route, given the open groups and the engine's paths.

    `agent`: its routes, if there is one. `has_adapters`: NIM_PEFT_SOURCE is set.
    `tasks`: what the model does; None if that is not known.
    """
    states = []
    own = {route.path for route in agent}
    for route in (*(route for route in ROUTES if not agent or route.group is not Group.AGENT), *agent):
        lacking = why_not(route.path, tasks) if route not in agent else None
        taken = route.path in own and route not in agent
        is_open = route in agent or (route.group in (*ALWAYS_OPEN, *groups) and not lacking and not taken)
        if taken:
            because, opened_by = "the agent answers at this path", None
        elif lacking:
            because, opened_by = lacking, None
        elif is_open:
            because, opened_by = _open(route.group)
        else:
            because, opened_by = _closed(route, groups, has_adapters=has_adapters)
        states.append(
            RouteState(
                route=route,
                is_open=is_open,
                because=because,
                opened_by=opened_by,
                in_engine=_in_engine(route, engine_paths),
            )
        )
    return tuple(states)


def strays(document: Mapping[str, Any]) -> tuple[Stray, ...]:
    """Return a Stray for each path of an OpenAPI document (dict) that no known route has."""
    known = {route.path for route in ROUTES}
    paths: Mapping[str, Any] = document["paths"]
    return tuple(
        Stray(path=path, methods=tuple(sorted(m.upper() for m in METHODS & item.keys())))
        for path, item in sorted(paths.items())
        if path not in known
    )


def hidden_in(states: Iterable[RouteState]) -> tuple[RouteState, ...]:
    """Return a tuple of the RouteStates of routes that the engine has and the gateway closes."""
    return tuple(state for state in states if state.in_engine and not state.is_open)


def _open(group: Group) -> tuple[str, None]:
    """Return (why the group is open, None); None since no setting is needed to open it."""
    if group in ALWAYS_OPEN:
        return "always open", None
    if group in OPEN_BY_DEFAULT:
        return "open by default", None
    if group is Group.AGENT:
        return "the agent is on", None
    return "the catalog is on" if group is Group.ASSETS else "opened by NIM_ROUTES", None


def _closed(route: Route, groups: Collection[str], *, has_adapters: bool) -> tuple[str, str | None]:
    """Return (why the route is closed, the setting that opens it or None)."""
    group = route.group
    if group is Group.HIDDEN:
        return route.note, None
    opened_by = f"NIM_ROUTES={_choice(group, groups)}"
    if group is Group.ADAPTERS and not has_adapters:
        return "NIM_PEFT_SOURCE is not set", f"NIM_PEFT_SOURCE=… {opened_by}"
    if group is Group.ASSETS:
        return "the catalog is off", "NIM_CATALOG=1"
    if group is Group.AGENT:
        return "there is no agent", "NIM_AGENT_CONFIG=/path/to/agent.yaml"
    return "closed by NIM_ROUTES" if group in OPEN_BY_DEFAULT else "closed by default", opened_by


def _choice(group: Group, groups: Collection[str]) -> str:
    """Return the NIM_ROUTES value that opens `group` besides the open `groups`, as text."""
    wanted = {*groups, *ALWAYS_OPEN, group}
    usual = {*OPEN_BY_DEFAULT}
    if usual <= wanted:
        return ",".join(f"+{each}" for each in Group if each in wanted - usual | {group})
    return ",".join(each for each in Group if each in wanted and each not in ALWAYS_OPEN)


def _in_engine(route: Route, engine_paths: Collection[str] | None) -> bool | None:
    """Return whether the engine has the route; None if not asked or OpenAPI cannot say."""
    if engine_paths is None or route.target is not Target.ENGINE:
        return None
    if route.path in engine_paths:
        return True
    return None if route.websocket or route.group is Group.DOCS else False
