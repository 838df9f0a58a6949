"""The routes of chat, in the shapes of OpenAI's API."""

import json
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request

from nim.agent.api.error_bodies import workflow_error
from nim.agent.api.request_bodies import ChatBody
from nim.agent.api.request_headers import request_id, trace_headers, workflow_headers
from nim.agent.api.server_sent_events import DONE, data, event_stream, intermediate_data
from nim.agent.api.wait_for_client import while_connected
from nim.agent.run_workflow import Part, Runner
from nim.agent.steps.step import Step
from nim.agent.steps.steps_as_markdown import markdown_step
from nim.agent.workflows.workflow_context import Context
from nim.plan import FrontEnd


def chat_router(front_end: FrontEnd, runner: Runner, model: str) -> APIRouter:
    """Return the router of the chat paths; `model` is what an answer names if no model was asked."""
    router = APIRouter(tags=["chat"])
    path, v1 = front_end.openai_api_path, front_end.openai_api_v1_path

    async def whole(body: ChatBody, request: Request) -> Any:
        """Return the answer as a chat completion."""
        context = Context(request_id(request.headers), trace_headers(request.headers))
        asked = body.request(workflow_headers(request.headers), stream=False)
        answer = await while_connected(request, runner.answer(asked, context))
        return _completion(_text(answer), context, model)

    async def stream(body: ChatBody, request: Request) -> Any:
        """Send the answer as chunks of a chat completion, and steps in Markdown between them."""
        return event_stream(_chunks(runner, body, request, model))

    async def either(body: ChatBody, request: Request) -> Any:
        """Return a chat completion, or with `stream` its chunks."""
        return await (stream if body.stream else whole)(body, request)

    if v1:
        router.post(v1)(either)
    if path != v1:
        router.post(path)(whole)
        router.post(f"{path}/stream")(stream)
    return router


def _completion(text: str, context: Context, model: str) -> dict[str, Any]:
    """Return a chat completion with this text."""
    message = {"role": "assistant", "content": text}
    return {
        "id": str(uuid.uuid4()),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": context.model or model,
        "choices": [{"index": 0, "message": message, "finish_reason": _reason(context)}],
        "usage": _usage(context, text),
    }


def _reason(context: Context) -> str:
    """Return why the answer ended: `length` if the engine cut its last one, else `stop`."""
    return "length" if context.finish_reason == "length" else "stop"


def _usage(context: Context, text: str) -> dict[str, int]:
    """Return the tokens that the engine counted; for a workflow that asked no model, the answer's words."""
    if context.usage:
        return context.usage
    words = len(text.split())
    return {"prompt_tokens": 0, "completion_tokens": words, "total_tokens": words}


def _text(value: Any) -> str:
    """Return an answer as text; other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


async def _chunks(runner: Runner, body: ChatBody, request: Request, model: str) -> AsyncGenerator[str, None]:
    """Yield the events of one run; a workflow that fails ends them with an error, then [DONE]."""
    asked = body.request(workflow_headers(request.headers), stream=True)
    run = runner.events(asked, request_id(request.headers), trace_headers(request.headers))
    frame = {"id": str(uuid.uuid4()), "object": "chat.completion.chunk", "created": int(time.time())}
    delta: dict[str, Any] = {"role": "assistant"}
    texts: list[str] = []
    frame["model"] = model
    try:
        async with aclosing(run):
            async for event in run:
                if isinstance(event, Part):
                    texts.append(_text(event.value))
                    yield data(frame | _choice({**delta, "content": texts[-1]}, None))
                    delta = {}
                elif isinstance(event, Step) and (shown := markdown_step(event)):
                    yield intermediate_data(shown)
                elif isinstance(event, Context):
                    yield data(frame | _choice(delta, _reason(event)))
                    if body.wants_usage:
                        yield data(frame | {"choices": [], "usage": _usage(event, "".join(texts))})
    except Exception as error:  # also what cannot be encoded
        yield data({"error": {**workflow_error(error), "type": "workflow_error"}})
    yield DONE


def _choice(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
