"""Ask a web server for small documents, and turn failures into those of a source."""

import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from nim.fetch.explain_connection_errors import connection_cause
from nim.fetch.sources.remote_files import SourceDenied, SourceError, SourceOutOfReach
from nim.models.hub.check_connection_variables import OTHER_CERTIFICATES

TIMEOUT_SECONDS = 30.0
# A listing or a list of checksums; more is no such thing.
MOST_BYTES = 64 * 1024 * 1024
_TRANSIENT = (408, 425, 429)
_DENIED = (401, 403, 407)
_FIRST_ERROR, _FIRST_SERVER_ERROR = 400, 500


class HttpRequests:
    """Requests to one server, with the proxies, certificates and headers of a source; a context manager."""

    def __init__(
        self, environ: Mapping[str, str], certificates: str | None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._environ = environ
        self._headers = dict(headers or {})
        self._certificates = certificates
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        context = ssl.create_default_context()
        if self._certificates:
            context.load_verify_locations(cadata=self._certificates)
        self._client = httpx.Client(
            verify=context, headers=self._headers, timeout=TIMEOUT_SECONDS, follow_redirects=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._client:
            self._client.close()

    def text(self, url: str) -> tuple[str, str]:
        """Return (text, content type) of a document; SourceError if there is none."""
        answer = self._get(url)
        if len(answer.content) > MOST_BYTES:
            raise SourceError(f"{url} has {len(answer.content)} bytes, which is no listing")
        return answer.text, answer.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self, url: str) -> Any:
        """Return the JSON values of a document; SourceError if it is none."""
        text, kind = self.text(url)
        try:
            return json.loads(text)
        except ValueError:
            raise SourceError(f"{url} answered {kind or 'something'} that is no JSON") from None

    def text_if_there(self, url: str) -> str:
        """Return the text of a document; "" if the server has none of this name."""
        try:
            text, kind = self.text(url)
        except SourceNotFound:
            return ""
        return "" if kind == "text/html" else text

    def headers(self, url: str) -> Mapping[str, str]:
        """Return the headers of a file's answer, names in lower case; SourceError if there is none."""
        return {name.lower(): value for name, value in self._get(url, method="HEAD").headers.items()}

    def _get(self, url: str, method: str = "GET") -> httpx.Response:
        """Return the answer to a request; SourceError for a failure or a status that is an error."""
        assert self._client
        try:
            # "identity": the length of a compressed answer would not be that of the file.
            answer = self._client.request(method, url, headers={"Accept-Encoding": "identity"})
        except (httpx.HTTPError, OSError) as error:
            raise self._failure(error, url) from error
        if answer.status_code >= _FIRST_ERROR:
            raise status_error(answer.status_code, answer.reason_phrase, url)
        return answer

    def _failure(self, error: Exception, url: str) -> SourceError:
        """Return the SourceError for an exchange without an answer."""
        causes = [error]
        while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
            causes.append(cause)  # type: ignore[arg-type]
        parts = urlsplit(url)
        # The hub's client reads one variable for certificates, this one all that are usual.
        environ = {name: value for name, value in self._environ.items() if name not in OTHER_CERTIFICATES}
        found = connection_cause(causes, f"{parts.scheme}://{parts.netloc}", environ)
        hint = None if "HF_" in found.hint else found.hint
        if isinstance(error, httpx.ProxyError) or any(map(_is_certain, causes)):
            return SourceOutOfReach(found.why, hint=hint)
        return SourceError(found.why, transient=True, hint=hint)


def _is_certain(error: BaseException) -> bool:
    """Return whether the next try would fail, too: for a certificate, or a name that nobody knows."""
    unknown = isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN
    return unknown or isinstance(error, ssl.SSLError)


class SourceNotFound(SourceError):
    """The server has nothing under this address."""


def status_error(status: int, reason: str, url: str) -> SourceError:
    """Return the SourceError for a status of 400 and above."""
    answer = f"it answered {status} {reason}".rstrip() + f" for {url}"
    if status in _DENIED:
        return SourceDenied(answer)
    if status in (404, 410):
        return SourceNotFound(answer)
    return SourceError(answer, transient=status in _TRANSIENT or status >= _FIRST_SERVER_ERROR)
