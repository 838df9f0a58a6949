"""The agent's application."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from nim import __version__
from nim.agent.api.chat_routes import chat_router
from nim.agent.api.docs_routes import DOCUMENT, docs_router
from nim.agent.api.error_bodies import add_error_handlers
from nim.agent.api.generate_routes import generate_router
from nim.agent.run_workflow import Runner
from nim.agent.workflows.build_workflow import build_workflow, time_limit_seconds
from nim.plan import AgentPlan

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(
    plan: AgentPlan, engine_address: str, db_url: str | None = None, key: str | None = None
) -> FastAPI:
    """Return the application of a plan; SettingsError if a person's module cannot be imported.

    `db_url`: where jobs are kept; None: there are no jobs. `key`: what the engine asks for.
    """
    runner = Runner(
        workflow=build_workflow(plan, engine_address, key),
        name=plan.workflow.kind,
        time_limit_seconds=time_limit_seconds(plan),
    )
    routers = [generate_router(plan.front_end.path, runner), docs_router()]
    routers.append(chat_router(plan.front_end, runner, plan.model))
    lifespan = _lifespan_of(runner)
    if plan.jobs and db_url:
        from nim.agent.api.open_jobs import jobs_of_app  # with packages of the extra

        router, jobs_lifespan = jobs_of_app(plan, plan.jobs, db_url, engine_address, key)
        lifespan = _lifespan_of(runner, jobs_lifespan)
        routers.append(router)
    app = FastAPI(
        title="Agent",
        version=__version__,
        openapi_url=DOCUMENT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    add_error_handlers(app)
    for router in routers:
        app.include_router(router)
    return app


def _lifespan_of(runner: Runner, *more: Lifespan) -> Lifespan:
    """Return the context manager of the time in which the application runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(runner.workflow.close)
            for one in more:
                await stack.enter_async_context(one(app))
            yield

    return lifespan
