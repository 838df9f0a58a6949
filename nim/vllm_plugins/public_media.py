"""A media connector of vLLM that fetches from public addresses only: each is judged as it is connected to.

vLLM compares names of hosts. A name may lead to any address, and to another one a moment later; so the
address of each socket is judged, after the name was resolved or a URL has spelled it in whatever form.
"""

import asyncio
import functools
import socket
import threading
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from vllm.connections import HTTPConnection
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.media import MEDIA_CONNECTOR_REGISTRY, MediaConnector

from nim.vllm_plugins.public_addresses import PrivateAddress, check_public

NAME = "nim-public"


class PublicConnection(HTTPConnection):  # type: ignore[misc]
    """vLLM's HTTP client, with sockets to public addresses only.

    Where a proxy connects in our place, names that resolve here are judged before it is asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self._async_client: aiohttp.ClientSession | None = None
        self._proxied: aiohttp.ClientSession | None = None

    async def get_async_client(self) -> aiohttp.ClientSession:
        """Return the client session that connects by itself, made at the first call."""
        if self._async_client is None:
            connector = aiohttp.TCPConnector(socket_factory=public_socket)
            self._async_client = aiohttp.ClientSession(connector=connector)
        return self._async_client

    async def get_async_response(
        self,
        url: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as in vLLM
        extra_headers: Mapping[str, str] | None = None,
        allow_redirects: bool = True,
    ) -> Any:
        """Return aiohttp's context of a GET; an error for a URL that leads to no public address."""
        self._validate_http_url(url)
        client = await self.get_async_client()
        if uses_proxy(url):
            await check_host(url)
            if self._proxied is None:
                self._proxied = aiohttp.ClientSession(trust_env=True)
            client = self._proxied
        limit = None if timeout is None else aiohttp.ClientTimeout(total=timeout)
        headers = self._headers(**(extra_headers or {}))
        return client.get(url, headers=headers, timeout=limit, allow_redirects=allow_redirects)

    async def close(self) -> None:
        """Close the client sessions."""
        for client in (self._async_client, self._proxied):
            if client:
                await client.close()

    def get_bytes(self, url: str, **more: Any) -> bytes:
        """Return the bytes of a GET, made in an event loop of its own: requests cannot judge its sockets."""
        result: list[Any] = []

        def fetch() -> None:
            """Fetch in this thread, which has no event loop."""
            try:
                result.append(asyncio.run(_fetch(url, **more)))
            except BaseException as error:
                result.append(error)

        thread = threading.Thread(target=fetch)
        thread.start()
        thread.join()
        if isinstance(result[0], BaseException):
            raise result[0]
        data: bytes = result[0]
        return data


async def _fetch(url: str, **more: Any) -> bytes:
    """Return the bytes of a GET made by a client of its own."""
    connection = PublicConnection()
    try:
        data: bytes = await connection.async_get_bytes(url, **more)
        return data
    finally:
        await connection.close()


def check(address: str) -> None:
    """Raise vLLM's error for a bad request, status 400, unless an address is public."""
    try:
        check_public(address)
    except PrivateAddress as why:
        raise VLLMValidationError(f"cannot fetch media: {why}") from None


def public_socket(address: Any) -> socket.socket:
    """Return a socket for one address of getaddrinfo; the error of `check` if it is not public."""
    family, kind, protocol, _, place = address
    check(place[0])
    return socket.socket(family, kind, protocol)


def uses_proxy(url: str) -> bool:
    """Return whether the environment names a proxy for this URL."""
    parts = urlsplit(url)
    return parts.scheme in getproxies() and not proxy_bypass(parts.hostname or "")


async def check_host(url: str) -> None:
    """Raise the error of `check` if the URL's host resolves here, and to no public address."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(urlsplit(url).hostname, None)
    except OSError:
        return  # a name that only the proxy can resolve is its to judge
    for *_, place in found:
        check(str(place[0]))


@MEDIA_CONNECTOR_REGISTRY.register(NAME)
class PublicMediaConnector(MediaConnector):  # type: ignore[misc]
    """vLLM's media connector, with that client."""

    def __init__(self, media_io_kwargs: Any = None, **more: Any) -> None:
        super().__init__(media_io_kwargs, connection=connection(), **more)

    def _load_file_url(self, url_spec: Any, media_io: Any) -> Any:
        """Return the media in a file below the allowed directory; the error of a bad request otherwise."""
        try:
            return super()._load_file_url(url_spec, media_io)
        except (RuntimeError, FileNotFoundError):
            # vLLM answers 500 where no directory is allowed, as if that were its own fault.
            raise VLLMValidationError("cannot read media: this service opens no such file") from None


@functools.cache
def connection() -> PublicConnection:
    """Return the client of this process."""
    return PublicConnection()


class PublicMedia:
    """Named by --middleware, so that vLLM imports this module; its application stays as it is."""

    def __new__(cls, app: Any) -> Self:
        """Return the application itself: no request passes through anything of ours."""
        return app  # type: ignore[no-any-return]
