"""What a request's headers are for: the client's identity of it, its trace, and the workflow."""

import uuid
from collections.abc import Mapping

_TRACE = ("traceparent", "tracestate")
_NOT_FOR_WORKFLOWS = frozenset(
    {"connection", "cookie", "content-length", "content-type", "host", "keep-alive", "proxy-authorization"}
    | {"te", "trailer", "transfer-encoding", "upgrade", "accept-encoding", "x-request-id"}
)


def request_id(headers: Mapping[str, str]) -> str:
    """Return the id that nginx gave the request; without nginx a fresh one."""
    return headers.get("x-request-id") or uuid.uuid4().hex


def trace_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that continue the client's trace in the engine."""
    return {name: headers[name] for name in _TRACE if name in headers}


def workflow_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the client's own headers, without those of the connection and cookies."""
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_FOR_WORKFLOWS}
