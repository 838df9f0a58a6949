"""/v1/models: the engine's answer, in which `root` is the base model's id instead of a path."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import ClientConnectorError, ClientError, ClientTimeout, web

from nim.middleware.error_bodies import refusal
from nim.middleware.upstream_clients import Upstreams
from nim.plan import Gateway

# Headers of one connection, not of the message, and those that the next server writes itself.
_NOT_RELAYED = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_TEXT = rb'"(?:[^"\\]|\\.)*+"'
# The quotation marks of a key inside a text are escaped, so these find keys only.
_ROOT = re.compile(rb'("root"\s*+:\s*+)' + _TEXT)
_PARENT = re.compile(rb'("parent"\s*+:\s*+)(' + _TEXT + rb")")


async def relay(request: web.Request, upstreams: Upstreams, gateway: Gateway) -> web.Response:
    """Ask the engine for its models, and return its answer as a Response; an error as nginx writes it."""
    timeout = ClientTimeout(total=None, sock_read=gateway.read_timeout_seconds)
    headers = _relayed(request.headers)
    try:
        async with upstreams.engine.get(
            request.path_qs, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            body = await answer.read()
    except ClientConnectorError:
        message = "cannot reach the engine: it is not up; GET /v1/health/ready tells how far it is"
        return _error(request, HTTPStatus.SERVICE_UNAVAILABLE, message, "engine_unavailable")
    except TimeoutError:
        message = "cannot wait longer for the engine"
        return _error(request, HTTPStatus.GATEWAY_TIMEOUT, message, "engine_timeout")
    except (ClientError, OSError):
        message = "cannot finish this request: the engine closed the connection before it answered"
        return _error(request, HTTPStatus.BAD_GATEWAY, message, "engine_lost")
    if answer.status == HTTPStatus.OK:
        body = with_ids(body)
    return web.Response(status=answer.status, headers=_relayed(answer.headers), body=body)


def with_ids(body: bytes) -> bytes:
    """Return a list of models with the base model's id as each `root`, and as each parent that is no model.

    All other bytes stay as they are; so does a body that is no list of models.
    """
    ids = _ids(body)
    if not ids:
        return body
    base = json.dumps(ids[0], ensure_ascii=False).encode()

    def parent(found: re.Match[bytes]) -> bytes:
        """Return the member `parent` with the id of a model in the list."""
        return found[0] if json.loads(found[2]) in ids else found[1] + base

    return _PARENT.sub(parent, _ROOT.sub(lambda found: found[1] + base, body))


def _ids(body: bytes) -> list[str]:
    """Return the ids of a list of models, the first base model's first; empty for any other body."""
    try:
        entries = json.loads(body)["data"]
        bases = [entry["id"] for entry in entries if entry.get("parent") is None]
        adapters = [entry["id"] for entry in entries if entry.get("parent") is not None]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [each for each in (*bases, *adapters) if isinstance(each, str)] if bases else []


def _relayed(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that belong to the message, as a dict; of repeated ones all values."""
    named: dict[str, Any] = {}
    for name, value in headers.items():
        if name.lower() not in _NOT_RELAYED:
            named[name] = f"{named[name]}, {value}" if name in named else value
    return named


def _error(request: web.Request, status: HTTPStatus, message: str, code: str) -> web.Response:
    """Return an error as a Response with the headers of the gateway's own errors."""
    answer = refusal(status, message, code, request.headers.get("X-Request-Id"))
    answer.headers["Cache-Control"] = "no-store"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = "5"
    return answer
