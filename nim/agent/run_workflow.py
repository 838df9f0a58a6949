"""Run a workflow: its steps and the parts of its answer, in the order in which they happen."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any

from nim.agent.steps.step import Step
from nim.agent.workflows.own_workflow import joined
from nim.agent.workflows.workflow import Workflow
from nim.agent.workflows.workflow_context import Context, Request, WorkflowError
from nim.frozen_dataclass import frozen_dataclass

# A client that reads slowly ends its run, instead of letting steps and parts fill the memory.
MOST_WAITING = 100_000


@frozen_dataclass
class Part:
    """A part of the answer."""

    value: Any


@frozen_dataclass
class Runner:
    """A workflow, the name of its outermost step, and how long a run may take."""

    workflow: Workflow
    name: str
    time_limit_seconds: float

    async def answer(self, request: Request, context: Context) -> Any:
        """Return the whole answer; WorkflowError for whatever the workflow raises."""
        parts = [part.value async for part in self._parts(request, context)]
        return joined(parts)

    async def events(
        self, request: Request, request_id: str, headers: dict[str, str]
    ) -> AsyncGenerator[Step | Part | Context, None]:
        """Yield Steps and Parts as they come, at the end the Context; WorkflowError if the workflow fails.

        Closing this generator cancels the workflow.
        """
        queue: asyncio.Queue[Step | Part | None] = asyncio.Queue()
        put = _put_into(queue)
        context = Context(request_id, headers, put)

        async def work() -> None:
            try:
                async for part in self._parts(request, context):
                    put(part)
            finally:
                queue.put_nowait(None)

        task = asyncio.create_task(work())
        try:
            while (event := await queue.get()) is not None:
                yield event
            await task
            yield context
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, WorkflowError):
                await task

    async def _parts(self, request: Request, context: Context) -> AsyncGenerator[Part, None]:
        """Yield the parts of the answer, between the steps of the workflow's start and end."""
        try:
            async with asyncio.timeout(self.time_limit_seconds):
                if self.workflow.in_parts(request):
                    async for part in self._of_generator(request, context):
                        yield part
                    return
                with context.span("WORKFLOW", self.name, request.text) as span:
                    span.output = await self.workflow.run(request, context)
                    span.usage = context.usage
                yield Part(value=span.output)
        except TimeoutError as error:
            limit = f"the workflow took longer than {self.time_limit_seconds:g} s (time_limit_seconds)"
            raise WorkflowError(str(error) or limit) from error
        except WorkflowError:
            raise
        except Exception as error:  # whatever a person's workflow raises
            raise WorkflowError(f"{type(error).__name__}: {error}") from error

    async def _of_generator(self, request: Request, context: Context) -> AsyncGenerator[Part, None]:
        with context.span("WORKFLOW", self.name, request.text) as span:
            seen = []
            async with aclosing(self.workflow.parts(request, context)) as parts:
                async for part in parts:
                    seen.append(part)
                    yield Part(value=part)
            span.output, span.usage = joined(seen), context.usage


def _put_into(queue: "asyncio.Queue[Step | Part | None]") -> Callable[[Step | Part], None]:
    """Return a function, for any thread, that adds to the queue; it raises WorkflowError if that is full."""
    loop, thread = asyncio.get_running_loop(), threading.get_ident()

    def put(event: Step | Part) -> None:
        if queue.qsize() >= MOST_WAITING:
            raise WorkflowError("the client reads too slowly")
        if threading.get_ident() == thread:
            queue.put_nowait(event)
            return
        with suppress(RuntimeError):  # the loop has ended: nobody reads
            loop.call_soon_threadsafe(queue.put_nowait, event)

    return put
