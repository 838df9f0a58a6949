"""The workflow `react`: a loop in which the model asks for tools in its text."""

import ast
import json
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from nim.agent.functions.tool import Tool, use_tool
from nim.agent.workflows.engine_model import EngineModel, Reply, listed_stops
from nim.agent.workflows.tool_calling import too_many
from nim.agent.workflows.workflow_context import Context, Message, Request

_FINAL = re.compile(r"Final Answer:\s*(.*)", re.DOTALL)
_ACTION = re.compile(r"Action:[ \t]*([^\n]{1,200})\n+[ \t]*Action Input:[ \t]*(.*)", re.DOTALL)
_STOP = "\nObservation:"

PROMPT = """Answer the user's question. These tools can help:

{tools}

To use a tool, write exactly these lines and nothing behind them:

Thought: why a tool is needed
Action: the tool's name, one of {names}
Action Input: its arguments as one JSON object, or None if it takes none

The next message has the result, after the word Observation. Use as many tools, one after the other, as the
question needs. Once the answer is known, write exactly these lines:

Thought: the answer is known
Final Answer: the answer to the question
"""
UNREADABLE = (
    "Observation: this has neither an Action with an Action Input nor a Final Answer. Write one of the two."
)


class React:
    """Asks the model until its text has a final answer, at most `max_iterations` times."""

    def __init__(
        self,
        model: EngineModel,
        tools: Sequence[Tool],
        max_iterations: int,
        retries: int,
        system_prompt: str | None = None,
    ) -> None:
        self._model, self._most, self._retries = model, max_iterations, retries
        self._tools = {tool.name: tool for tool in tools}
        described = "\n".join(
            f"{tool.name}: {tool.description} Arguments: {json.dumps(tool.parameters)}" for tool in tools
        )
        prompt = PROMPT.format(tools=described, names=", ".join(self._tools))
        self._prompt = f"{system_prompt}\n\n{prompt}" if system_prompt else prompt

    def in_parts(self, _request: Request, /) -> bool:
        """Return False: what comes before the final answer is for the steps."""
        return False

    async def parts(self, request: Request, context: Context) -> AsyncGenerator[str, None]:
        """Yield the final answer in one piece."""
        yield await self.run(request, context)

    async def close(self) -> None:
        """Close the connections to the engine."""
        await self._model.close()

    async def run(self, request: Request, context: Context) -> str:
        """Return the final answer; WorkflowError if there is none after the most turns.

        An answer that is not in the form is returned as it is once the model was told so `retries` times.
        """
        messages: list[Message] = [{"role": "system", "content": self._prompt}, *request.messages]
        stops = listed_stops(request.options.get("stop")) or self._model.stops
        told = 0
        for _ in range(self._most):
            reply = Reply()
            options = {**request.options, "stop": [*stops, _STOP]}
            async for _piece in self._model.ask(messages, context, reply, options=options):
                pass
            messages.append({"role": "assistant", "content": reply.text})
            action = _ACTION.search(reply.text)
            final = _FINAL.search(reply.text)
            if final and not (action and action.start() < final.start()):
                return final[1].strip()
            if action:
                name = action[1].strip()
                given = _arguments(action[2], self._tools.get(name))
                result = await use_tool(self._tools.get(name), name, given, context)
                messages.append({"role": "user", "content": f"Observation: {result}"})
            elif told < self._retries:
                told += 1
                messages.append({"role": "user", "content": UNREADABLE})
            else:
                return reply.text.strip()
        raise too_many(self._most)


def _arguments(text: str, tool: Tool | None) -> Any:
    """Return the arguments in the text of an action: JSON, Python's form of it, or one bare text."""
    text = text.partition("\nObservation")[0].strip().strip("`").strip()
    if text in ("", "None", "null", "{}"):
        return {}
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    names = list(tool.parameters.get("properties", {})) if tool else []
    return {names[0]: text} if len(names) == 1 else text
