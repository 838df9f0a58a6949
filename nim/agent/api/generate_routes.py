"""The routes of generate: one answer, or a stream of steps and answer."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request

from nim.agent.api.error_bodies import workflow_error
from nim.agent.api.request_bodies import GenerateBody
from nim.agent.api.request_headers import request_id, trace_headers, workflow_headers
from nim.agent.api.server_sent_events import data, event_stream, intermediate_data
from nim.agent.api.wait_for_client import while_connected
from nim.agent.run_workflow import Part, Runner
from nim.agent.steps.filter_steps import step_filter
from nim.agent.steps.step import Step, raw_step
from nim.agent.steps.steps_as_markdown import markdown_step
from nim.agent.workflows.workflow_context import Context

Translate = Callable[[Step], dict[str, Any] | None]


def generate_router(path: str, runner: Runner) -> APIRouter:
    """Return the router of `path`, `path/stream` and `path/full`."""
    router = APIRouter(tags=["generate"])

    @router.post(path)
    async def generate(body: GenerateBody, request: Request) -> Any:
        """Return the workflow's answer."""
        context = Context(request_id(request.headers), trace_headers(request.headers))
        work = runner.answer(body.request(workflow_headers(request.headers)), context)
        return enveloped(await while_connected(request, work))

    @router.post(f"{path}/stream")
    async def stream(body: GenerateBody, request: Request) -> Any:
        """Send steps in Markdown, and the answer, as they come."""
        return event_stream(_events(runner, body, request, markdown_step))

    @router.post(f"{path}/full")
    async def full(body: GenerateBody, request: Request, filter_steps: str | None = None) -> Any:
        """Send steps as they are, and the answer, as they come.

        `filter_steps`: names of event types with commas between them, or `none`.
        """
        wants = step_filter(filter_steps)
        return event_stream(
            _events(runner, body, request, lambda step: raw_step(step) if wants(step.event_type) else None)
        )

    return router


def enveloped(value: Any) -> Any:
    """Return an answer as the object that is sent: an object as it is, another value in `value`."""
    return value if isinstance(value, dict) else {"value": value}


async def _events(
    runner: Runner, body: GenerateBody, request: Request, translate: Translate
) -> AsyncGenerator[str, None]:
    """Yield the events of one run; a workflow that fails ends them with an error."""
    asked = body.request(workflow_headers(request.headers))
    run = runner.events(asked, request_id(request.headers), trace_headers(request.headers))
    try:
        async with aclosing(run):
            async for event in run:
                if isinstance(event, Part):
                    yield data(enveloped(event.value))
                elif isinstance(event, Step) and (shown := translate(event)):
                    yield intermediate_data(shown)
    except Exception as error:  # also what cannot be encoded
        yield data({"error": workflow_error(error)})
