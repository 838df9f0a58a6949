"""The routes of asynchronous jobs."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from nim.agent.api.request_bodies import AsyncGenerateBody
from nim.agent.api.request_headers import request_id, trace_headers, workflow_headers
from nim.agent.jobs.job_runner import JobRunner
from nim.agent.jobs.job_store import ACTIVE, JobStore, expires_at

ACCEPTED = 202
RETRY_SECONDS = 10


def job_router(path: str, store: JobStore, runner: JobRunner) -> APIRouter:
    """Return the router of `path/async` and `path/async/job/{job_id}`."""
    router = APIRouter(tags=["jobs"])
    job = f"{path}/async/job/{{job_id:path}}"

    @router.post(f"{path}/async")
    async def submit(body: AsyncGenerateBody, request: Request, response: Response) -> Any:
        """Run the workflow as a job: 202 with its id; 200 with its state if it is known or has finished."""
        job_id = body.job_id or str(uuid.uuid4())
        if runner.is_full and await store.find(job_id) is None:
            retry = {"Retry-After": str(RETRY_SECONDS)}
            raise HTTPException(503, "too many jobs wait", headers=retry)
        new = await store.add(job_id, body.expiry_seconds)
        if new:
            asked = body.request(workflow_headers(request.headers))
            run = {"request_id": request_id(request.headers), "headers": trace_headers(request.headers)}
            runner.submit(
                job_id,
                {"messages": asked.messages, "options": asked.options, "headers": asked.headers},
                run,
                size=len(await request.body()),
            )
        if body.sync_timeout:
            await runner.wait(job_id, body.sync_timeout)
        row = await _row(store, job_id)
        if row["status"] not in ACTIVE:
            return _state(row)
        response.status_code = ACCEPTED if new else 200
        return {"job_id": job_id, "status": "submitted" if new else row["status"]}

    @router.get(job)
    async def state(job_id: str) -> Any:
        """Return the state of a job."""
        return _state(await _row(store, job_id))

    @router.delete(job)
    async def cancel(job_id: str) -> Any:
        """Interrupt a job, between its steps; return its state. One that has finished stays as it is."""
        await runner.cancel(job_id)
        return _state(await _row(store, job_id))

    return router


async def _row(store: JobStore, job_id: str) -> Mapping[str, Any]:
    """Return a job; HTTPException 404 if there is none."""
    row = await store.find(job_id)
    if row is None:
        raise HTTPException(404, f"Job {job_id[:255]} not found")
    return row


def _state(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what clients are told of a job."""
    return {
        "job_id": row["job_id"],
        "status": row["status"],
        "error": row["error"],
        "output": json.loads(row["output"]) if row["output"] is not None else None,
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "expires_at": expires_at(row),
    }
