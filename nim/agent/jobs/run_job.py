"""What a worker of Dask runs: one job, from values that can be sent to another process."""

import asyncio
from collections.abc import Mapping
from typing import Any

from distributed import Event, get_client

from nim.agent.run_workflow import Runner
from nim.agent.workflows.build_workflow import build_workflow, time_limit_seconds
from nim.agent.workflows.workflow_context import Context, Request, WorkflowError
from nim.plan import agent_from_json

CANCEL_POLL_SECONDS = 0.5


def run_job(
    plan: Mapping[str, Any],
    engine_address: str,
    key: str | None,
    request: Mapping[str, Any],
    run: Mapping[str, Any],
) -> dict[str, Any]:
    """Return {"output": answer}, or {"error": text} if the workflow failed or was cancelled.

    `request` and `run` are the arguments of the request and of its context.
    """
    return asyncio.run(_run(plan, engine_address, key, Request(**request), run))


async def _run(
    plan: Mapping[str, Any], engine_address: str, key: str | None, request: Request, run: Mapping[str, Any]
) -> dict[str, Any]:
    agent = agent_from_json(plan)
    runner = Runner(
        workflow=build_workflow(agent, engine_address, key),
        name=agent.workflow.kind,
        time_limit_seconds=time_limit_seconds(agent),
    )
    context = Context(run["request_id"], run["headers"])
    work = asyncio.ensure_future(runner.answer(request, context))
    watch = asyncio.ensure_future(_until_cancelled(run["cancel_event"], work))
    try:
        return {"output": await work}
    except WorkflowError as error:
        return {"error": str(error)}
    except asyncio.CancelledError:
        return {"error": "cancelled"}
    finally:
        watch.cancel()
        await runner.workflow.close()


async def _until_cancelled(name: str, work: "asyncio.Future[Any]") -> None:
    """Cancel `work` once the event is set: Dask does not stop what runs."""
    cancelled = Event(name, client=get_client())
    while not await asyncio.to_thread(cancelled.is_set):  # noqa: ASYNC110 - an event of Dask
        await asyncio.sleep(CANCEL_POLL_SECONDS)
    work.cancel()
