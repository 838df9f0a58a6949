"""A function that a model can call: its name, description, parameters, and the call itself."""

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from nim.agent.run_in_thread import run_in_thread
from nim.agent.workflows.workflow_context import Context
from nim.frozen_dataclass import frozen_dataclass

MOST_RESULT_CHARACTERS = 100_000


@frozen_dataclass
class Tool:
    """A tool. `parameters` is a JSON schema of an object; `call` gets such an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    call: Callable[[Mapping[str, Any]], Awaitable[Any]]

    @property
    def definition(self) -> dict[str, Any]:
        """Return the tool as OpenAI's requests define it."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }
        return {"type": "function", "function": function}


def tool_of(name: str, function: Callable[..., Any], description: str | None = None) -> Tool:
    """Return the Tool of a Python function, whose annotations are the parameters' types.

    A function that is not a coroutine runs in a thread.
    """
    model = _arguments_of(name, function)

    async def call(arguments: Mapping[str, Any]) -> Any:
        given = model.model_validate(dict(arguments))
        values = {field: getattr(given, field) for field in model.model_fields}
        if inspect.iscoroutinefunction(function):
            return await function(**values)
        return await run_in_thread(function, **values)

    text = description or inspect.getdoc(function) or name
    return Tool(name=name, description=text, parameters=_schema_of(model), call=call)


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a model in the usual order and without titles, which say nothing new."""
    schema = _without_titles(model.model_json_schema())
    first = {"type": "object", "properties": schema.pop("properties", {})}
    return {**first, **schema}


def _without_titles(value: Any) -> Any:
    """Return a schema without the titles that pydantic makes of names."""
    if isinstance(value, list):
        return [_without_titles(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_titles(one)
        for name, one in value.items()
        if not (name == "title" and isinstance(one, str))
    }


def _arguments_of(name: str, function: Callable[..., Any]) -> type[BaseModel]:
    """Return a pydantic model of a function's parameters."""
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        kind = Any if parameter.annotation is parameter.empty else parameter.annotation
        fields[parameter.name] = (kind, ... if parameter.default is parameter.empty else parameter.default)
    return create_model(name, __config__=ConfigDict(extra="ignore"), **fields)


async def use_tool(tool: Tool | None, name: str, arguments: Any, context: Context) -> str:
    """Return the result of a call as text for the model; what went wrong is such a text as well."""
    with context.span("TOOL", name, arguments) as span:
        span.output = await _result(tool, name, arguments)
        return str(span.output)


async def _result(tool: Tool | None, name: str, arguments: Any) -> str:
    if tool is None:
        return f"Error: there is no tool '{name}'"
    if not isinstance(arguments, Mapping):
        return f"Error: the arguments of {name} must be a JSON object, as in {json.dumps(tool.parameters)}"
    try:
        result = await tool.call(arguments)
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return f"Error: cannot call {name}: {problems}"
    except Exception as error:  # whatever a person's function raises is for the model to handle
        return f"Error: {type(error).__name__}: {error}"
    return text[:MOST_RESULT_CHARACTERS]
