"""Build the workflow of a plan, with its tools and its model."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from nim.agent.config.check_components import CHAT, REACT, WORKFLOWS
from nim.agent.functions.built_in_functions import BUILT_IN
from nim.agent.functions.tool import Tool, tool_of
from nim.agent.workflows.chat import Chat
from nim.agent.workflows.engine_model import EngineModel
from nim.agent.workflows.own_workflow import OwnWorkflow, load_function
from nim.agent.workflows.react import React
from nim.agent.workflows.tool_calling import ToolCalling
from nim.agent.workflows.workflow import Workflow
from nim.plan import AgentPlan

MOST_ITERATIONS = 15
TIME_LIMIT_SECONDS = 600
RETRIES = 1


def build_workflow(plan: AgentPlan, engine_address: str, key: str | None = None) -> Workflow:
    """Return the Workflow of a plan; SettingsError if a module of a person cannot be imported."""
    if plan.directory not in sys.path:
        sys.path.insert(0, plan.directory)
    options = plan.workflow.options
    kind = WORKFLOWS.get(plan.workflow.kind)
    if kind is None:
        return OwnWorkflow(load_function(plan.workflow.kind))
    name = options.get("llm_name") or next(iter(plan.llms), None)
    model_options = plan.llms[name].options if name else {}
    model = EngineModel(engine_address, plan.model, model_options, key)
    prompt = options.get("system_prompt")
    if kind == CHAT:
        return Chat(model, prompt)
    tools = build_tools(plan, options["tool_names"])
    most = options.get("max_iterations") or options.get("max_tool_calls") or MOST_ITERATIONS
    if kind == REACT:
        retries = options.get("parse_agent_response_max_retries", RETRIES)
        return React(model, tools, most, retries, prompt)
    return ToolCalling(model, tools, most, prompt)


def build_tools(plan: AgentPlan, names: Sequence[str]) -> list[Tool]:
    """Return a list of the Tools with these names in the plan."""
    tools = []
    for name in names:
        component = plan.functions[name]
        function: Callable[..., Any] = BUILT_IN.get(component.kind) or load_function(component.kind)
        tools.append(tool_of(name, function, component.options.get("description")))
    return tools


def time_limit_seconds(plan: AgentPlan) -> float:
    """Return how long one run may take."""
    return float(plan.workflow.options.get("time_limit_seconds", TIME_LIMIT_SECONDS))
