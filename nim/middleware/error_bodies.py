"""Errors of the management routes in OpenAI's shape."""

import json
import logging
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

log = logging.getLogger(__name__)


def refusal(status: HTTPStatus, message: str, code: str, request_id: str | None = None) -> web.Response:
    """Return an aiohttp Response with an error in OpenAI's JSON shape; `code` is for programs."""
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": code, "request_id": request_id}
    body = json.dumps({"error": error}, ensure_ascii=False).encode()
    return web.Response(status=status, body=body, content_type="application/json")


def refused(request: web.Request, status: HTTPStatus, message: str, code: str) -> web.Response:
    """Return an aiohttp Response with an error in OpenAI's JSON shape, and the id of its request."""
    return refusal(status, message, code, request.headers.get("X-Request-Id"))


@web.middleware
async def in_openai_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return the handler's answer; turn exceptions into JSON errors with the request id (middleware)."""
    request_id = request.headers.get("X-Request-Id")
    try:
        return await handler(request)
    except web.HTTPNotFound:
        message = f"cannot find {request.method} {request.path}"
        return refusal(HTTPStatus.NOT_FOUND, message, "not_found", request_id)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"cannot {request.method} {request.path}; allowed here: {allowed}"
        answer = refusal(HTTPStatus.METHOD_NOT_ALLOWED, message, "method_not_allowed", request_id)
        answer.headers["Allow"] = allowed
        return answer
    except Exception:
        log.exception("cannot answer %s %s", request.method, request.path)
        message = "cannot answer because of an error inside the service; its log has the reason"
        return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message, "internal_error", request_id)
