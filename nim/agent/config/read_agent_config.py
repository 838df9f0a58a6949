"""Read the file of NIM_AGENT_CONFIG: YAML in the toolkit's shape, with errors that name the line."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

from yaml import Node

from nim.errors import ManifestError, SettingsError, nearest
from nim.frozen_dataclass import frozen_dataclass
from nim.manifest.yaml_nodes import Place, compose, items, value_of
from nim.plan import Component, FrontEnd
from nim.read_regular_file import read_text

VARIABLE = "NIM_AGENT_CONFIG"
MAX_BYTES = 1024**2
SECTIONS = ("general", "workflow", "functions", "llms")
# Keys of the toolkit that nginx, supervision or settings of the service stand for.
NO_EFFECT = ("host", "port", "root_path", "reload", "workers", "cors", "description")
JOB_KEYS = {
    "max_running_async_jobs": "max_concurrent",
    "max_concurrent_jobs": "max_concurrent",
    "dask_workers": "workers",
    "dask_log_level": "log_level",
    "scheduler_address": "scheduler_address",
}
PATH_KEYS = ("path", "openai_api_path", "openai_api_v1_path")


@frozen_dataclass
class Document:
    """What the file says. `jobs`: fields of `Jobs` that it sets; `ignored`: keys without effect here."""

    workflow: Component
    front_end: FrontEnd
    functions: Mapping[str, Component]
    llms: Mapping[str, Component]
    jobs: Mapping[str, Any]
    ignored: tuple[str, ...] = ()


def read_agent_config(path: Path) -> Document:
    """Return the Document in a file; SettingsError, with the line, for a file that cannot be used."""
    try:
        return parse_agent_config(read_text(path, MAX_BYTES), str(path))
    except OSError as error:
        message = f"cannot read the agent's file '{path}' ({VARIABLE}): {error.strerror or error}"
    except UnicodeDecodeError:
        message = f"cannot read the agent's file '{path}' ({VARIABLE}): it is not UTF-8 text"
    raise SettingsError(message, hint=f"{VARIABLE}=/path/to/agent.yaml, as in docs/agent.md")


def parse_agent_config(text: str, name: str) -> Document:
    """Return the Document in `text`; SettingsError, with the line, for what is wrong in it."""
    place = Place(name, "the agent's file", "workflow:", f"{VARIABLE}={name} nim plan")
    try:
        return _document(compose(text, place), place)
    except ManifestError as error:
        hint = error.hint or f"{VARIABLE} is described in docs/agent.md"
        raise SettingsError(error.message, allowed=error.allowed, hint=hint) from None


def _document(root: Node, place: Place) -> Document:
    """Return the Document below the root node; ManifestError for what is wrong."""
    parts = _members(root, place, "the agent's file", SECTIONS)
    if "workflow" not in parts:
        hint = "workflow: {_type: chat}"
        place.refuse(root, "read the agent's file: 'workflow' is missing", allowed=SECTIONS, hint=hint)
    general = parts.get("general")
    front_end, jobs, ignored = _front_end(general, place) if general else (FrontEnd(), {}, ())
    return Document(
        workflow=_component(parts["workflow"], place, "workflow"),
        front_end=front_end,
        functions=_components(parts.get("functions"), place, "functions"),
        llms=_components(parts.get("llms"), place, "llms"),
        jobs=jobs,
        ignored=ignored,
    )


def _front_end(node: Node, place: Place) -> tuple[FrontEnd, dict[str, Any], tuple[str, ...]]:
    """Return (paths, fields of jobs, keys without effect) of the node `general`."""
    general = {key: value for key, _, value in items(node, place, "general")}
    ignored = [f"general.{key}" for key in general if key != "front_end"]
    if "front_end" not in general:
        return FrontEnd(), {}, tuple(ignored)
    known = ("_type", "workflow", *JOB_KEYS, "db_url", *NO_EFFECT)
    front = _members(general["front_end"], place, "general.front_end", known)
    if "_type" in front and value_of(front["_type"], place, "_type") != "fastapi":
        place.refuse(front["_type"], "use this as general.front_end._type", allowed=("fastapi",))
    if "db_url" in front:
        _refuse_db_url(front["db_url"], place)
    ignored += [f"general.front_end.{key}" for key in front if key in NO_EFFECT]
    jobs = {
        JOB_KEYS[key]: value_of(value, place, key)
        for key, value in front.items()
        if key in JOB_KEYS and value_of(value, place, key) is not None
    }
    paths = _paths(front["workflow"], place) if "workflow" in front else FrontEnd()
    return paths, jobs, tuple(ignored)


def _refuse_db_url(node: Node, place: Place) -> NoReturn:
    why = "take the database from the file: its address may have a password, which `nim plan` would print"
    place.refuse(node, why, hint="NIM_AGENT_DB_URL=sqlite+aiosqlite:////path/to/jobs.db")


def _paths(node: Node, place: Place) -> FrontEnd:
    """Return the paths in the node `general.front_end.workflow`; ManifestError for one that cannot be."""
    what = "general.front_end.workflow"
    parts = _members(node, place, what, ("method", "description", "websocket_path", *PATH_KEYS))
    if "method" in parts and value_of(parts["method"], place, "method") != "POST":
        place.refuse(parts["method"], f"use this as {what}.method", allowed=("POST",))
    found: dict[str, Any] = {}
    for key in PATH_KEYS:
        value = value_of(parts[key], place, key) if key in parts else None
        if value is None:
            continue
        if not _is_path(value):
            why = f"use {value!r} as {what}.{key}: a path is / with letters, digits, _, - or . behind"
            place.refuse(parts[key], why)
        found[key] = value
    return FrontEnd(**found)


def _is_path(value: object) -> bool:
    """Return whether a value is a plain path, such as /v1/chat/completions."""
    if not isinstance(value, str) or not value.startswith("/") or len(value) > 100:
        return False
    return all(
        part.replace("_", "a").replace("-", "a").replace(".", "a").isalnum()
        and part.isascii()
        and part.strip(".")
        for part in value[1:].split("/")
    )


def _components(node: Node | None, place: Place, what: str) -> dict[str, Component]:
    """Return {name: Component} of a section; {} for one that is not there."""
    if node is None:
        return {}
    return {name: _component(value, place, f"{what}.{name}") for name, _, value in items(node, place, what)}


def _component(node: Node, place: Place, what: str) -> Component:
    """Return the Component of a mapping with `_type`; ManifestError without one."""
    options = {key: value_of(value, place, f"{what}.{key}") for key, _, value in items(node, place, what)}
    kind = options.pop("_type", None)
    if not isinstance(kind, str) or not kind:
        place.refuse(node, f"read {what}: '_type' is missing", hint="_type: chat")
    return Component(kind=kind, options=options)


def _members(node: Node, place: Place, what: str, known: Collection[str]) -> dict[str, Node]:
    """Return {key: node} of a mapping; ManifestError for a key that is not known."""
    found = {}
    for name, key, value in items(node, place, what):
        if name not in known:
            near = nearest(name, tuple(known), count=1)
            hint = f"write {near[0]}" if near else None
            place.refuse(key, f"use the unknown field '{name}' in {what}", allowed=tuple(known), hint=hint)
        found[name] = value
    return found
