"""Errors of the agent: FastAPI's `detail` for what was sent, `code` and `message` for the workflow."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from nim.agent.api.wait_for_client import GONE_STATUS, ClientGone
from nim.agent.workflows.workflow_context import WorkflowError


def workflow_error(error: WorkflowError) -> dict[str, Any]:
    """Return the body that says why a workflow failed; `details` is the exception's class."""
    return {
        "code": "workflow_error",
        "message": str(error),
        "details": type(error.__cause__ or error).__name__,
    }


def add_error_handlers(app: FastAPI) -> None:
    """Have the application answer 422 without repeating what was sent, and tell why a workflow failed."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [{name: one[name] for name in ("loc", "msg", "type")} for one in error.errors()]
        return JSONResponse({"detail": problems}, status_code=HTTPStatus.UNPROCESSABLE_ENTITY)

    @app.exception_handler(ClientGone)
    async def gone(_request: Request, _error: ClientGone) -> Response:
        return Response(status_code=GONE_STATUS)

    @app.exception_handler(WorkflowError)
    async def failed(_request: Request, error: WorkflowError) -> JSONResponse:
        return JSONResponse(workflow_error(error), status_code=error.status)
