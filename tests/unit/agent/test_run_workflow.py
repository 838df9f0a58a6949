"""Runs of a workflow without a server, whose loop nothing else wakes."""

import threading
import time
from typing import Any

from nim.agent.run_workflow import Part, Runner
from nim.agent.steps.step import Step
from nim.agent.workflows.own_workflow import OwnWorkflow
from nim.agent.workflows.workflow_context import Context, Request


async def test_steps_of_a_thread_come_at_once_and_in_order() -> None:
    seen = threading.Event()

    def workflow(_: Request, context: Context) -> str:
        time.sleep(0.3)  # until the loop sleeps
        with context.span("TOOL", "first"):
            in_time = seen.wait(10)
        return "in time" if in_time else "late"

    runner = Runner(workflow=OwnWorkflow(workflow), name="own", time_limit_seconds=60)
    asked = Request(messages=[{"role": "user", "content": "Hello"}], options={})
    events: list[Any] = []
    async for event in runner.events(asked, "id", {}):
        events.append(event)
        if isinstance(event, Step) and event.event_type == "TOOL_START":
            seen.set()
    kinds = [event.event_type for event in events if isinstance(event, Step)]
    assert kinds == ["WORKFLOW_START", "TOOL_START", "TOOL_END", "WORKFLOW_END"]
    assert [event.value for event in events if isinstance(event, Part)] == ["in time"]
