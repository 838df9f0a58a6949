"""The judged service: its address, and if known its program or image."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from tests.conformance.launcher import Launcher, Running

ANSWER_SECONDS = 120.0


class NoAnswer(Exception):
    """Nobody answered, or not in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. The names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        """Return the body, whatever it is."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body as JSON; ValueError says what it is instead."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise ValueError(f"not JSON: {self.text[:80]!r}") from None


@dataclass(kw_only=True)
class Beginning:
    """How a start looked from outside: what live and ready answered at each look, None where nobody did.

    `answered_after` are seconds until anybody did; `chat` is what a question met right after the first ready.
    """

    looks: list[tuple[int | None, int | None]] = field(default_factory=list)
    answered_after: float | None = None
    chat: str = ""


@dataclass(kw_only=True)
class Target:
    """`url` is the API, `health_url` a second listener, `pid` a local service that may be stopped."""

    url: str | None = None
    health_url: str | None = None
    model: str | None = None
    key: str | None = None
    pid: int | None = None
    model_path: str | None = None
    launcher: Launcher | None = None
    running: Running | None = None
    beginning: Beginning | None = None

    def get(self, path: str, *, within: float = ANSWER_SECONDS, **headers: str) -> Answer:
        """Return one GET."""
        return ask(self.url or "", "GET", path, headers=self._headers(headers), within=within)

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """Return one POST of JSON, or of bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} | self._headers(headers)
        return ask(self.url or "", "POST", path, data=data, headers=sent)

    @contextmanager
    def stream(self, path: str, body: object) -> Iterator[http.client.HTTPResponse]:
        """Yield an answer that has begun and not been read."""
        parts = urlsplit(self.url or "")
        link = _link(self.url or "", ANSWER_SECONDS)
        try:
            headers = {"Content-Type": "application/json"} | self._headers({})
            link.request("POST", parts.path.rstrip("/") + path, json.dumps(body), headers)
            yield link.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"{path}: {type(error).__name__} {error}") from None
        finally:
            link.close()

    def page(self, path: str) -> Any:
        """Return the JSON of a GET that answers 200; ValueError says what else it does."""
        answer = self.get(path)
        if answer.status != 200:
            raise ValueError(f"{path} answers {answer.status}")
        return answer.json()

    @cached_property
    def served(self) -> str:
        """Return the name to put into requests."""
        return self.model or str(self.page("/v1/models")["data"][0]["id"])

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        keys = {"Authorization": f"Bearer {self.key}", "x-api-key": self.key} if self.key else {}
        return keys | {name.replace("_", "-"): value for name, value in headers.items()}


def ask(
    url: str,
    method: str,
    path: str,
    *,
    data: bytes | None = None,
    headers: dict[str, str] | None = None,
    within: float = ANSWER_SECONDS,
) -> Answer:
    """Return one request on a connection of its own; NoAnswer where it takes longer in all than `within`."""
    parts = urlsplit(url)
    link = _link(url, within)
    begun = time.monotonic()
    try:
        link.request(method, parts.path.rstrip("/") + path, data, headers or {})
        answer = link.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{path}: {type(error).__name__} {error}") from None
    finally:
        link.close()
    seconds = time.monotonic() - begun
    if seconds > within:
        raise NoAnswer(f"{path}: took {seconds:.2f} s of {within:g} s")
    said = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(status=answer.status, headers=said, body=body, seconds=seconds)


def _link(url: str, within: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "localhost", parts.port, timeout=within)
