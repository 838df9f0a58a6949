"""Errors of the router, in the dialect of the API that the client uses, as answers to nginx."""

import json
from http import HTTPStatus

_ANTHROPIC = {
    400: "invalid_request_error",
    404: "not_found_error",
    410: "not_found_error",
    504: "timeout_error",
}
_TYPES = {
    400: "BadRequestError",
    404: "NotFoundError",
    410: "GoneError",
    502: "BadGatewayError",
    503: "ServiceUnavailableError",
    504: "GatewayTimeoutError",
}


def error_answer(
    status: int,
    message: str,
    *,
    route: str,
    request_id: str,
    param: str | None = None,
    code: str | None = None,
    kind: str | None = None,
    retry_seconds: int | None = None,
) -> bytes:
    """Return an HTTP answer with an error: Anthropic's shape on its routes, elsewhere the one of vLLM."""
    if route.startswith("/v1/messages"):
        error: object = {"type": _ANTHROPIC.get(status, "api_error"), "message": message}
        body = {"type": "error", "error": error, "request_id": request_id}
    else:
        error = {"message": message, "type": kind or _TYPES[status], "param": param, "code": code or status}
        body = {"error": error | {"request_id": request_id}}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Content-Type: application/json"]
    lines += ["Cache-Control: no-store"]
    lines += [f"Retry-After: {retry_seconds}"] if retry_seconds is not None else []
    lines += [f"Content-Length: {len(text)}", "", ""]
    return "\r\n".join(lines).encode() + text
