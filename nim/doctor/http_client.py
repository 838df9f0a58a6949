"""HTTP client of the checks: one connection per request, no redirects, no retries."""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy

from nim.doctor.parse_service_address import Target
from nim.errors import NimError, PreflightError
from nim.frozen_dataclass import frozen_dataclass

REQUEST_TIMEOUT_SECONDS = 60.0
"""Timeout for answers that the service has at once."""


class ConnectionCut(Exception):
    """The connection ended, or nothing came, before the answer was complete."""

    def __init__(self, how: str, seconds: float) -> None:
        super().__init__(how)
        self.how, self.seconds = how, seconds


@frozen_dataclass
class Answer:
    """A complete answer."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    seconds: float

    @property
    def is_html(self) -> bool:
        """Return whether the answer's Content-Type is text/html."""
        return self.headers.get("Content-Type", "").startswith("text/html")

    def __str__(self) -> str:
        return f"{self.status} {self.headers.get('Content-Type', 'without a type').partition(';')[0]}"


class ServiceClient:
    """Client of one service. `pages` collects HTML answers, which no service of this kind sends."""

    def __init__(self, target: Target, session: aiohttp.ClientSession) -> None:
        self.target, self.session = target, session
        self.pages: list[str] = []

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        with_key: bool = True,
        seconds: float = REQUEST_TIMEOUT_SECONDS,
        **body: Any,
    ) -> Answer:
        """Send a request, return its Answer; ConnectionCut if it breaks off, TimeoutError after `seconds`."""
        began = time.monotonic()
        fields = {**self.authorization(with_key), **(headers or {})}
        try:
            async with (
                asyncio.timeout(seconds),
                self.session.request(
                    method, self.target.url(path), headers=fields, allow_redirects=False, **body
                ) as answer,
            ):
                text = await answer.read()
                took = time.monotonic() - began
                whole = Answer(status=answer.status, headers=answer.headers, body=text, seconds=took)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ConnectionCut(reason(error), time.monotonic() - began) from error
        if whole.is_html:
            self.pages.append(f"{method} {path}: {whole}")
        return whole

    def authorization(self, with_key: bool = True) -> dict[str, str]:
        """Return the Authorization header as a dict; empty without an API key or `with_key`."""
        return {"Authorization": f"Bearer {self.target.key}"} if self.target.key and with_key else {}


@asynccontextmanager
async def open_client(target: Target) -> AsyncIterator[ServiceClient]:
    """Yield a ServiceClient whose session is closed at the end (an async context manager)."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        headers={"User-Agent": "nim-doctor", "Accept-Encoding": "identity"},
    ) as session:
        yield ServiceClient(target, session)


def unreachable(target: Target, cause: BaseException | None) -> NimError:
    """Return the PreflightError for a failed first request, with a command to type as its hint."""
    root = str(target.root).rstrip("/")
    message, hint = f"cannot reach {root}: {reason(cause)}", f"curl -v {root}/v1/models"
    match cause:
        case aiohttp.ClientConnectorCertificateError():
            hint = f"SSL_CERT_FILE=authority.pem nim doctor stream --url {root}"
        case aiohttp.ClientConnectorDNSError():
            hint = f"getent hosts {target.root.host}"
        case aiohttp.ClientSSLError():
            hint = f"nim doctor stream --url {target.root.with_scheme('http')}  # if it speaks no TLS"
    return PreflightError(message, hint=hint)


def reason(error: BaseException | None) -> str:
    """Return the cause of a client error as short text, without aiohttp's wrapping."""
    match error:
        case TimeoutError():
            return "nothing came in time"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed without an answer"
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not trusted: {error.certificate_error}"
        case aiohttp.ClientConnectorError():
            if isinstance(error.os_error, ssl.SSLError):  # its errno is OpenSSL's, not a system error
                return f"no TLS: {error.os_error.reason or error.os_error}"
            number = error.os_error.errno or 0
            return os.strerror(number) if number > 0 else error.os_error.strerror or str(error.os_error)
        case aiohttp.ClientPayloadError():
            return "the connection was closed in the middle of the answer"
    return str(error) or type(error).__name__
