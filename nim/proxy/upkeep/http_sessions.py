"""The router's own HTTP requests to replicas: health, models, stored responses."""

from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from nim.frozen_dataclass import frozen_dataclass
from nim.proxy.routing.replicas import Replica

MOST_BYTES = 8 * 1024**2


@frozen_dataclass
class Reply:
    """An answer of a replica: status and JSON body; status 0 and the reason where there was none."""

    status: int
    body: Any = None
    why: str = ""


def open_session() -> ClientSession:
    """Return an aiohttp ClientSession for requests to replicas."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "nim-proxy"}
    connector = TCPConnector(limit=0, keepalive_timeout=4)
    return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), headers=headers)


async def get_json(session: ClientSession, replica: Replica, path: str, seconds: float) -> Reply:
    """Return the Reply of a replica to GET `path`, with its key if it has one; never raises."""
    url = replica.place.url
    headers = {"Authorization": f"Bearer {replica.key}"} if replica.key else {}
    # Of a service elsewhere the name is asked for, so that its certificate is checked.
    base = url.text if url.scheme == "https" else f"http://{replica.place.addresses[0]}{url.path}"
    if url.scheme == "http":
        headers["Host"] = url.authority
    timeout = ClientTimeout(total=seconds)
    try:
        async with session.get(
            f"{base}{path}", headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            text = await answer.content.read(MOST_BYTES)
    except TimeoutError:
        return Reply(status=0, why=f"no answer within {seconds:g} s")
    except (ClientError, OSError, ValueError) as error:
        return Reply(status=0, why=str(error) or type(error).__name__)
    return Reply(status=answer.status, body=_json(text))


def _json(text: bytes) -> Any:
    """Return the value in a JSON text; None if it is none."""
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
