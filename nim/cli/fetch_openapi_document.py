"""Fetch a JSON document over HTTP, from a URL or from a running service's private socket."""

import http.client
import json
import socket
import urllib.error
import urllib.request
from typing import Any

from nim.errors import PreflightError, SettingsError
from nim.plan import Engine

# The engine builds its document at the first request, which takes seconds, more on a busy machine.
TIMEOUT_SECONDS = 60.0


def fetch_document(url: str) -> Any:
    """Fetch `/openapi.json` of the server at `url`; return the parsed JSON, or PreflightError."""
    if not url.startswith(("http://", "https://")):
        raise SettingsError(
            f"cannot ask '{url}': it is not an http:// or https:// address", hint=f"http://{url}"
        )
    address = url.rstrip("/").removesuffix("/openapi.json") + "/openapi.json"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 (checked above)  # nosec B310
            return json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unread(address, error, f"curl -i {address}") from None


def fetch_engine_document(engine: Engine) -> Any:
    """Fetch `/openapi.json` of a running service's engine; return the JSON, or PreflightError."""
    if engine.socket is None:
        return fetch_document(f"http://127.0.0.1:{engine.port}")
    connection = _UnixConnection(engine.socket)
    try:
        connection.request("GET", "/openapi.json")
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unread(engine.socket, error, "GET /v1/health/ready shows the progress of the engine") from None
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the unix socket, with a time-out of 60 s."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self._path)


def _unread(where: str, error: Exception, hint: str) -> PreflightError:
    """Return the PreflightError for a document that cannot be read."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return PreflightError(f"cannot read an OpenAPI document at {where}: {reason}", hint=hint)
