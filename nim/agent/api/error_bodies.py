"""Errors of the agent: FastAPI's `detail` for what was sent, `code` and `message` for the workflow."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from nim.agent.api.wait_for_client import GONE_STATUS, ClientGone
from nim.agent.encodable import encodable
from nim.agent.workflows.workflow_context import WorkflowError

MOST_PROBLEMS = 20
MOST_NAME_CHARACTERS = 100
MOST_TEXT_CHARACTERS = 500


def workflow_error(error: Exception) -> dict[str, Any]:
    """Return the body that says why a workflow failed; `details` is the exception's class."""
    text = str(error) if isinstance(error, WorkflowError) else f"{type(error).__name__}: {error}"
    return {
        "code": "workflow_error",
        "message": encodable(text),
        "details": type(error.__cause__ or error).__name__,
    }


def _problem(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a client is told of one error; names of fields in it are the client's own."""
    loc = [encodable(p[:MOST_NAME_CHARACTERS]) if isinstance(p, str) else p for p in error["loc"]]
    return {"loc": loc, "msg": encodable(error["msg"][:MOST_TEXT_CHARACTERS]), "type": error["type"]}


def add_error_handlers(app: FastAPI) -> None:
    """Have the application answer 422 without repeating what was sent, and tell why a workflow failed."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [_problem(one) for one in error.errors()[:MOST_PROBLEMS]]
        return JSONResponse({"detail": problems}, status_code=HTTPStatus.UNPROCESSABLE_ENTITY)

    @app.exception_handler(ClientGone)
    async def gone(_request: Request, _error: ClientGone) -> Response:
        return Response(status_code=GONE_STATUS)

    @app.exception_handler(WorkflowError)
    async def failed(_request: Request, error: WorkflowError) -> JSONResponse:
        return JSONResponse(workflow_error(error), status_code=error.status)
