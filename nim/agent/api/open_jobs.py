"""The jobs of an application: their routes, and what is opened and closed with the application."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import APIRouter, FastAPI

from nim.agent.api.job_routes import job_router
from nim.agent.jobs.job_runner import JobRunner
from nim.agent.jobs.job_store import JobStore
from nim.plan import AgentPlan, Jobs

log = logging.getLogger(__name__)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def jobs_of_app(
    plan: AgentPlan, jobs: Jobs, db_url: str, engine_address: str, key: str | None
) -> tuple[APIRouter, Lifespan]:
    """Return (routes of jobs, context manager of the time in which the application runs)."""
    store = JobStore(db_url)
    runner = JobRunner(plan, jobs, store, engine_address, key)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        if left := await store.open():
            log.warning("jobs interrupted by the end of a former server: %d", left)
        try:
            yield
        finally:
            await runner.close()
            await store.close()

    return job_router(plan.front_end.path, store, runner), lifespan
