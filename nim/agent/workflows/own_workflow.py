"""Workflows and functions that a person wrote, named by a dotted path."""

import inspect
from collections.abc import AsyncGenerator, Callable
from importlib import import_module
from typing import Any

from nim.agent.run_in_thread import run_in_thread
from nim.agent.workflows.workflow_context import Context, Request
from nim.errors import SettingsError


class OwnWorkflow:
    """A function of request and context, or of the request alone.

    An asynchronous generator answers in parts; a coroutine, or a plain function, which runs in a thread,
    at once.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._wants_context = len(inspect.signature(function).parameters) > 1

    def in_parts(self, _request: Request, /) -> bool:
        """Return whether the function is a generator."""
        return inspect.isasyncgenfunction(self._function)

    async def close(self) -> None:
        """Do nothing: a function holds nothing."""

    async def run(self, request: Request, context: Context) -> Any:
        """Return what the function returns; of a generator all parts, texts joined."""
        if self.in_parts(request):
            return joined([part async for part in self.parts(request, context)])
        if inspect.iscoroutinefunction(self._function):
            return await self._call(request, context)
        return await run_in_thread(self._call, request, context)

    async def parts(self, request: Request, context: Context) -> AsyncGenerator[Any, None]:
        """Yield what the generator yields; of another function its result."""
        if not self.in_parts(request):
            yield await self.run(request, context)
            return
        async for part in self._call(request, context):
            yield part

    def _call(self, request: Request, context: Context) -> Any:
        return self._function(request, context) if self._wants_context else self._function(request)


def joined(parts: list[Any]) -> Any:
    """Return the parts of an answer as one value: texts joined, one value itself, several as a list."""
    if all(isinstance(part, str) for part in parts):
        return "".join(parts)
    return parts[0] if len(parts) == 1 else parts


def load_function(path: str) -> Callable[..., Any]:
    """Return the function at `module.name`; SettingsError if it cannot be imported or is no function."""
    module, _, name = path.rpartition(".")
    hint = f"python -c 'import {module}' in the directory of the agent's file"
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # whatever the module does when it is imported
        reason = f"{type(error).__name__}: {error}"
        raise SettingsError(f"cannot import '{path}': {reason}", hint=hint) from error
    if not callable(found):
        raise SettingsError(f"cannot use '{path}': it is no function", hint=hint)
    return found  # type: ignore[no-any-return] # the check above is all that can be known
