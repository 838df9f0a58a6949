"""Decide what the agent serves: its file, the settings beside it, and what is installed."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nim.errors import SettingsError
from nim.plan import AgentPlan, FrontEnd, Jobs, agent_routes
from nim.routes import ROUTES, Group, Route
from nim.settings import Settings
from nim.settings.value_types import DASK_WORKER_KINDS, LOG_LEVELS
from nim.value_origins import Value

if TYPE_CHECKING:
    from nim.agent.config.read_agent_config import Document

VARIABLE = "NIM_AGENT_CONFIG"
JOB_PACKAGES = ("distributed", "sqlalchemy", "aiosqlite")
EXTRA = "pip install 'nim[agent]'"
JOB_SETTINGS = {
    "max_concurrent": "agent_max_jobs",
    "workers": "agent_dask_workers",
    "log_level": "agent_dask_log_level",
    "scheduler_address": "agent_scheduler_address",
}
MOST_JOBS = 1000


def plan_agent(
    settings: Settings, config: Mapping[str, Value], model: str
) -> tuple[AgentPlan | None, tuple[str, ...]]:
    """Return (AgentPlan, None without a file; warnings); SettingsError for what cannot work."""
    if settings.agent_config is None:
        return None, ()
    # Imported only where there is an agent.
    from nim.agent.config.check_components import check_components
    from nim.agent.config.read_agent_config import read_agent_config

    path = Path(settings.agent_config).absolute()
    document = read_agent_config(path)
    _check_paths(document.front_end)
    check_components(document, path)
    jobs, warnings = _jobs(document, settings)
    if document.ignored:
        warnings += (f"{', '.join(document.ignored)} ({VARIABLE}) have no effect: nginx does this here",)
    names = config["served_model_name"].value if "served_model_name" in config else None
    plan = AgentPlan(
        directory=str(path.parent),
        model=str(names[0]) if isinstance(names, list | tuple) and names else model,
        workflow=document.workflow,
        front_end=document.front_end,
        functions=document.functions,
        llms=document.llms,
        jobs=jobs,
    )
    return plan, warnings


def configured_routes(settings: Settings) -> tuple[Route, ...]:
    """Return the Routes that an agent with these settings has; () without one. SettingsError as above."""
    plan, _ = plan_agent(settings, {}, "")
    return agent_routes(plan.front_end, jobs=plan.jobs is not None) if plan else ()


def _check_paths(front_end: FrontEnd) -> None:
    """Raise SettingsError for a path that another route has; the v1 path may be that of an engine's route."""
    others = {route.path: route.group for route in ROUTES if route.group is not Group.AGENT}
    seen: set[tuple[str, str]] = set()
    for route in agent_routes(front_end, jobs=True):
        group = others.get(route.path)
        chosen = route.path == front_end.openai_api_v1_path and group is Group.INFERENCE
        if (group and not chosen) or (route.methods[0], route.path) in seen:
            whose = f"the group {group} has it" if group else "another route of the agent has it"
            message = f"cannot use the path '{route.path}' for the agent ({VARIABLE}): {whose}"
            raise SettingsError(message, hint="another path in general.front_end.workflow; `nim routes`")
        seen.add((route.methods[0], route.path))


def _jobs(document: "Document", settings: Settings) -> tuple[Jobs | None, tuple[str, ...]]:
    """Return (Jobs, None where the packages are missing; warnings); SettingsError for a bad value."""
    found: dict[str, Any] = dict(document.jobs)
    found |= {name: value for name, field in JOB_SETTINGS.items() if (value := getattr(settings, field))}
    jobs = Jobs(**found)
    _check(
        is_count(jobs.max_concurrent),
        "max_concurrent_jobs",
        jobs.max_concurrent,
        f"expected 1 to {MOST_JOBS}",
    )
    _check(
        jobs.workers in DASK_WORKER_KINDS,
        "dask_workers",
        jobs.workers,
        f"expected one of {', '.join(DASK_WORKER_KINDS)}",
    )
    _check(
        jobs.log_level in LOG_LEVELS,
        "dask_log_level",
        jobs.log_level,
        f"expected one of {', '.join(LOG_LEVELS)}",
    )
    address = jobs.scheduler_address
    _check(
        address is None or "://" in str(address),
        "scheduler_address",
        address,
        "expected an address such as tcp://dask:8786",
    )
    if missing := [name for name in JOB_PACKAGES if find_spec(name) is None]:
        lacking = f"the agent has no asynchronous routes: {' and '.join(missing)} not installed ({EXTRA})"
        return None, (lacking,)
    return jobs, ()


def _check(good: bool, name: str, value: object, expected: str) -> None:
    """Raise SettingsError about a value of jobs unless it is `good`."""
    if not good:
        hint = f"{name} in general.front_end of the agent's file, or NIM_AGENT_{name.upper()}"
        raise SettingsError(f"cannot use {name} {value!r} of the agent: {expected}", hint=hint)


def is_count(value: object) -> bool:
    """Return whether a value of the file is a number of jobs that can run at once."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_JOBS
