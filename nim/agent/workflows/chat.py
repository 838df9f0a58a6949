"""The workflow `chat`: one question to the engine's model."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from nim.agent.workflows.engine_model import EngineModel, Reply
from nim.agent.workflows.workflow_context import Context, Message, Request


class Chat:
    """Asks the model once, with a system prompt before the messages if there is one."""

    def __init__(self, model: EngineModel, system_prompt: str | None = None) -> None:
        self._model, self._system_prompt = model, system_prompt

    def in_parts(self, request: Request, /) -> bool:
        """Return whether the client is sent pieces."""
        return request.stream

    async def close(self) -> None:
        """Close the connections to the engine."""
        await self._model.close()

    async def run(self, request: Request, context: Context) -> str:
        """Return the model's answer."""
        return "".join([piece async for piece in self.parts(request, context)])

    async def parts(self, request: Request, context: Context) -> AsyncGenerator[str, None]:
        """Yield the model's answer as it comes."""
        messages = [*system_messages(self._system_prompt), *request.messages]
        pieces = self._model.ask(messages, context, Reply(), options=request.options)
        async with aclosing(pieces):  # a client that leaves ends the engine's request at once
            async for piece in pieces:
                yield piece


def system_messages(prompt: str | None) -> list[Message]:
    """Return a list with the system prompt as a message; [] without one."""
    return [{"role": "system", "content": prompt}] if prompt else []
