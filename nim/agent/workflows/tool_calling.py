"""The workflow `tool_calling`: a loop in which the model calls tools by its own means."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from nim.agent.functions.tool import Tool, use_tool
from nim.agent.workflows.chat import system_messages
from nim.agent.workflows.engine_model import EngineModel, Reply, ToolCall
from nim.agent.workflows.workflow_context import Context, Message, Request, WorkflowError


class ToolCalling:
    """Asks the model until it answers without a call, at most `max_iterations` times."""

    def __init__(
        self, model: EngineModel, tools: Sequence[Tool], max_iterations: int, system_prompt: str | None = None
    ) -> None:
        self._model, self._system_prompt, self._most = model, system_prompt, max_iterations
        self._tools = {tool.name: tool for tool in tools}

    def in_parts(self, request: Request, /) -> bool:
        """Return whether the client is sent pieces."""
        return request.stream

    async def close(self) -> None:
        """Close the connections to the engine."""
        await self._model.close()

    async def run(self, request: Request, context: Context) -> str:
        """Return the text of the model's last answer."""
        turns: dict[int, str] = {0: ""}
        async for turn, piece in self._pieces(request, context):
            turns[turn] = turns.get(turn, "") + piece
        return turns.get(context.llm_calls, "")

    async def parts(self, request: Request, context: Context) -> AsyncGenerator[str, None]:
        """Yield what the model says as it comes, also the text that it may say before a call."""
        async for _, piece in self._pieces(request, context):
            yield piece

    async def _pieces(self, request: Request, context: Context) -> AsyncGenerator[tuple[int, str], None]:
        """Yield (number of the turn, piece of text) until a turn has no calls; WorkflowError if all have."""
        messages: list[Message] = [*system_messages(self._system_prompt), *request.messages]
        definitions = [tool.definition for tool in self._tools.values()]
        for _ in range(self._most):
            reply = Reply()
            pieces = self._model.ask(messages, context, reply, options=request.options, tools=definitions)
            async with aclosing(pieces):
                async for piece in pieces:
                    yield context.llm_calls, piece
            calls = list(reply.calls.values())
            if not calls:
                return
            wanted = [call.as_message() for call in calls]
            messages.append({"role": "assistant", "content": reply.text or None, "tool_calls": wanted})
            for call in calls:
                result = await self._call(call, context)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        raise too_many(self._most)

    async def _call(self, call: ToolCall, context: Context) -> str:
        """Return the result of a call as text."""
        arguments: Any
        try:
            arguments = json.loads(call.arguments or "{}")
        except ValueError:
            arguments = call.arguments
        known: Mapping[str, Tool] = self._tools
        return await use_tool(known.get(call.name), call.name, arguments, context)


def too_many(most: int) -> WorkflowError:
    """Return the error of a loop that did not end."""
    return WorkflowError(f"the model was asked {most} times (max_iterations) and gave no final answer")
