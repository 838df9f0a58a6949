"""Resolve the host names of replicas, again and again: their addresses may change."""

import asyncio
import logging
import socket
from collections.abc import Iterable, Sequence

from nim.proxy.backend_services import SERVING, Backend, Url, parse_url
from nim.proxy.upstreams import Place, is_literal, places_of

log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0


class Resolver:
    """Host names and their last known addresses."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ...]] = {}
        self._failed: set[str] = set()

    async def places(self, backends: Iterable[Backend]) -> tuple[Place, ...]:
        """Return a tuple of the Places of all replicas; names that do not resolve keep theirs."""
        urls = [
            (backend, parse_url(text))
            for backend in backends
            if backend.state == SERVING
            for text in backend.urls
        ]
        names = sorted({url.host for _, url in urls if not is_literal(url.host)})
        await asyncio.gather(*(self._resolve(name) for name in names))
        return tuple(place for backend, url in urls for place in places_of(backend, url, self._hosts(url)))

    def _hosts(self, url: Url) -> Sequence[str]:
        """Return the IP addresses of a URL's host; () if they are not known."""
        return (url.host,) if is_literal(url.host) else self._known.get(url.host, ())

    async def _resolve(self, name: str) -> None:
        """Ask for the addresses of a name; keep the last known ones if that fails."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError) as error:
            if name not in self._failed:
                self._failed.add(name)
                log.warning("cannot resolve %s: %s", name, str(error) or "no answer in time")
            return
        if name in self._failed:
            self._failed.discard(name)
            log.info("%s resolves again", name)
        addresses = sorted({str(entry[4][0]) for entry in found if "%" not in str(entry[4][0])})
        # A service that listens on both is one replica, not two.
        ipv4 = [each for each in addresses if ":" not in each]
        self._known[name] = tuple(ipv4 or addresses)
