"""Check the workflow, the functions and the models of an agent's file before anything starts."""

import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from nim.agent.config.read_agent_config import VARIABLE, Document
from nim.errors import SettingsError, nearest
from nim.plan import Component

CHAT, REACT, TOOL_CALLING = "chat", "react", "tool_calling"
WORKFLOWS = {
    CHAT: CHAT,
    "chat_completion": CHAT,
    REACT: REACT,
    "react_agent": REACT,
    TOOL_CALLING: TOOL_CALLING,
    "tool_calling_agent": TOOL_CALLING,
}
"""The built-in workflows by their names, ours and the toolkit's."""

CALCULATOR = tuple(f"calculator_{word}" for word in ("add", "subtract", "multiply", "divide", "inequality"))
CURRENT_DATETIME = "current_datetime"
FUNCTIONS = (*CALCULATOR, CURRENT_DATETIME)
MODELS = ("nim", "openai", "local")

_COMMON = {
    "llm_name": str,
    "system_prompt": str,
    "time_limit_seconds": int,
    "verbose": bool,
    "description": str,
}
_LOOP = _COMMON | {"tool_names": list, "max_iterations": int, "max_tool_calls": int}
WORKFLOW_OPTIONS: Mapping[str, Mapping[str, type]] = {
    CHAT: _COMMON,
    REACT: _LOOP | {"parse_agent_response_max_retries": int},
    TOOL_CALLING: _LOOP,
}
OWN_OPTIONS: Mapping[str, type] = {"time_limit_seconds": int, "description": str}
FUNCTION_OPTIONS: Mapping[str, type] = {"description": str}
MODEL_OPTIONS: Mapping[str, type] = {
    "model_name": str,
    "temperature": float,
    "top_p": float,
    "max_tokens": int,
    "seed": int,
    "stop": list,
    "chat_template_kwargs": dict,
}


def check_components(document: Document, file: Path) -> None:
    """Raise SettingsError for an unknown kind, option or name in the file, or a module that is nowhere."""
    kind = WORKFLOWS.get(document.workflow.kind)
    if kind:
        _check_options(document.workflow, "workflow", WORKFLOW_OPTIONS[kind])
        _check_names(document)
        if kind != CHAT and not document.workflow.options.get("tool_names"):
            _refuse("run the workflow without tools: tool_names is missing", "tool_names: [current_datetime]")
    else:
        _check_module(document.workflow.kind, "workflow", tuple(WORKFLOWS), file)
        _check_options(document.workflow, "workflow", OWN_OPTIONS)
    for name, function in document.functions.items():
        what = f"functions.{name}"
        _check_options(function, what, FUNCTION_OPTIONS)
        if function.kind not in FUNCTIONS:
            _check_module(function.kind, what, FUNCTIONS, file)
    for name, model in document.llms.items():
        _check_model(model, f"llms.{name}")


def _check_model(model: Component, what: str) -> None:
    """Raise SettingsError for a model that is not the engine's, or has an unknown option."""
    if model.kind not in MODELS:
        _refuse(f"use '{model.kind}' as {what}._type", "_type: nim, which is this service's engine", MODELS)
    for name in ("base_url", "api_key"):
        if name in model.options:
            _refuse(f"use {what}.{name}: the agent asks this service's own engine", f"remove {name}")
    _check_options(model, what, MODEL_OPTIONS)


def _check_names(document: Document) -> None:
    """Raise SettingsError for tools and models that the file does not have."""
    tools = document.workflow.options.get("tool_names", [])
    for name in tools:
        if name not in document.functions:
            _refuse(f"use the tool '{name}': functions has no such name", "functions: …", document.functions)
    model = document.workflow.options.get("llm_name")
    if model is not None and model not in document.llms:
        _refuse(f"use llm_name '{model}': llms has no such name", "llms: …", document.llms)


def _check_options(component: Component, what: str, known: Mapping[str, type]) -> None:
    """Raise SettingsError for an option that is not known, or has a value of another type."""
    for name, value in component.options.items():
        if name not in known:
            near = nearest(name, tuple(known), count=1)
            _refuse(
                f"use the unknown field '{name}' in {what}",
                f"write {near[0]}" if near else "docs/agent.md",
                known,
            )
        wanted = (int, float) if known[name] is float else known[name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            _refuse(f"use {value!r} as {what}.{name}: it is not {_WORDS[known[name]]}", "docs/agent.md")
        if known[name] is int and name != "seed" and value < 1:
            _refuse(f"use {value} as {what}.{name}: it is not above zero", f"{name}: 1")


_WORDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}


def _check_module(path: str, what: str, known: tuple[str, ...], file: Path) -> None:
    """Raise SettingsError unless `path` is module.name, and its package can be found. Imports nothing."""
    module, _, name = path.rpartition(".")
    if not module or not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        near = nearest(path, known, count=1)
        hint = f"write {near[0]}" if near else "_type: my_module.my_function"
        _refuse(f"use '{path}' as {what}._type: it is neither built in nor module.function", hint, known)
    package = module.split(".")[0]
    if package not in sys.builtin_module_names and not PathFinder.find_spec(
        package, [str(file.parent), *sys.path]
    ):
        hint = f"a file {package}.py beside {file}, or an installed package"
        _refuse(f"find the module '{package}' of {what}._type '{path}'", hint)


def _refuse(why: str, hint: str, allowed: Any = ()) -> None:
    raise SettingsError(f"cannot {why} ({VARIABLE})", allowed=tuple(allowed), hint=hint)
