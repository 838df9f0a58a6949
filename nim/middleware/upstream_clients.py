"""HTTP clients of the middleware: the engine (metrics, OpenAPI) and nginx (connections)."""

import logging
from collections.abc import AsyncIterator

from aiohttp import (
    BaseConnector,
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    UnixConnector,
    web,
)

from nim.frozen_dataclass import frozen_dataclass
from nim.plan import STATUS_SOCKET, Engine, Plan

log = logging.getLogger(__name__)


@frozen_dataclass
class Upstreams:
    """One client session for each upstream, kept for the life of the process."""

    engine: ClientSession
    gateway: ClientSession


UPSTREAMS = web.AppKey("upstreams", Upstreams)


class Connected:
    """Return the cleanup context that opens the sessions with the application and closes them."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    async def __call__(self, app: web.Application) -> AsyncIterator[None]:
        status = UnixConnector(str(self._plan.file(STATUS_SOCKET)))
        async with (
            _session(_engine(self._plan.engine), _base(self._plan.engine)) as engine,
            _session(status, "http://gateway") as gateway,
        ):
            app[UPSTREAMS] = Upstreams(engine=engine, gateway=gateway)
            yield


async def fetch(session: ClientSession, path: str, timeout_seconds: float) -> bytes | None:
    """Return the body, as bytes, of a GET that is answered 200; None if down, slow or refused."""
    try:
        async with session.get(path, timeout=ClientTimeout(total=timeout_seconds)) as answer:
            if answer.status == web.HTTPOk.status_code:
                return await answer.read()
            log.debug("%s answered %d", path, answer.status)
    except (ClientError, OSError, TimeoutError) as error:
        log.debug("cannot fetch %s: %r", path, error)
    return None


def _engine(engine: Engine) -> BaseConnector:
    """Return an aiohttp connector to the engine's unix socket or port."""
    return UnixConnector(engine.socket) if engine.socket else TCPConnector()


def _base(engine: Engine) -> str:
    """Return the engine's base URL as text."""
    return "http://engine" if engine.socket else f"http://127.0.0.1:{engine.port}"


def _session(connector: BaseConnector, base_url: str) -> ClientSession:
    """Return an aiohttp ClientSession without cookies and compression."""
    # Ask for the classic text format: only that can be concatenated with ours.
    headers = {"Accept": "text/plain;version=0.0.4, application/json", "Accept-Encoding": "identity"}
    return ClientSession(base_url, connector=connector, cookie_jar=DummyCookieJar(), headers=headers)
