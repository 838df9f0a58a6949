"""Forward a request whose model has another name at the backend: only its body is changed."""

import logging
from collections.abc import Mapping

import msgspec
from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, web

from nim.proxy.routing.replicas import Replica
from nim.proxy.routing.running_requests import Flight, Flights

log = logging.getLogger(__name__)

_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Headers of one connection, or that the next client writes itself.
_NOT_FORWARDED = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-nim-path",
        "x-nim-request",
    }
)
_CREDENTIALS = frozenset({"authorization", "cookie", "x-api-key"})


class Rewriter:
    """Forwards renamed requests, and their answers chunk by chunk."""

    def __init__(self, flights: Flights, session: ClientSession) -> None:
        self._flights, self._session = flights, session

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Answer a request that the router has decided about, with its model renamed."""
        key = request.headers.get("X-Nim-Request", "").encode()
        flight = self._flights.get(key)
        if flight is None or flight.target.written_as is None:
            return web.Response(status=502)
        body = await request.read()
        name = flight.target.written_as
        if request.content_type == "application/json" or body.lstrip()[:1] == b"{":
            body = with_model(body, name)
        return await self._send(request, flight, body)

    async def _send(self, request: web.Request, flight: Flight, body: bytes) -> web.StreamResponse:
        """Send the request to its replica, and its answer to nginx as it comes; 502 or 504 without one."""
        replica = flight.replica
        url = replica.place.url
        base = url.text if url.scheme == "https" else f"http://{replica.place.addresses[0]}{url.path}"
        timeout = ClientTimeout(total=None, sock_connect=2)
        try:
            async with self._session.post(
                base + request.headers["X-Nim-Path"],
                data=body,
                headers=_headers(request.headers, replica),
                timeout=timeout,
                allow_redirects=False,
                auto_decompress=False,
            ) as answer:
                return await _relay(request, answer.status, answer.headers, answer.content.iter_any())
        except ClientConnectorError as error:
            log.warning("cannot reach %s: %s", replica.label, error)
            return web.Response(status=503, headers={"Retry-After": "1"})
        except TimeoutError:
            return web.Response(status=504)
        except (ClientError, OSError) as error:
            log.warning("%s broke a request: %r", replica.label, error)
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=502)


def with_model(body: bytes, name: str) -> bytes:
    """Return a JSON object with another `model`; the text of all other values stays as it is."""
    members = _RAW.decode(body)
    members["model"] = msgspec.Raw(msgspec.json.encode(name))
    return msgspec.json.encode(members)


async def _relay(
    request: web.Request, status: int, headers: Mapping[str, str], chunks: object
) -> web.StreamResponse:
    """Write an answer's status, headers and chunks; return the response."""
    response = web.StreamResponse(status=status)
    for name, value in headers.items():
        if name.lower() not in _NOT_FORWARDED and name.lower() not in ("date", "server"):
            response.headers.add(name, value)
    await response.prepare(request)
    async for chunk in chunks:  # type: ignore[attr-defined]
        await response.write(chunk)
    await response.write_eof()
    return response


def _headers(headers: Mapping[str, str], replica: Replica) -> list[tuple[str, str]]:
    """Return the headers for the replica: the client's, without its credentials if there is another key."""
    hidden = _NOT_FORWARDED | (_CREDENTIALS if replica.key else frozenset())
    kept = [(name, value) for name, value in headers.items() if name.lower() not in hidden]
    kept.append(("Host", replica.place.url.authority))
    return [*kept, ("Authorization", f"Bearer {replica.key}")] if replica.key else kept
