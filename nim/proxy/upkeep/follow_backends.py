"""Follow the backends: their file, the addresses of their hosts, and nginx's configuration after both."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nim.errors import NimError
from nim.proxy.backends import Backend
from nim.proxy.routing.fleet import Fleet
from nim.proxy.upkeep.poll_replicas import Poller
from nim.proxy.upkeep.reload_nginx import NginxReload
from nim.proxy.upkeep.resolve_names import Resolver

log = logging.getLogger(__name__)

FILE_SECONDS, NAMES_SECONDS = 1.0, 15.0

Read = Callable[[str | None], tuple[Backend, ...]]


class Follower:
    """Applies each change of the backends. A file that cannot be used is reported and changes nothing."""

    def __init__(
        self, read: Read, fleet: Fleet, nginx: NginxReload, poller: Poller, file: str | None
    ) -> None:
        self._read, self._fleet, self._nginx, self._poller = read, fleet, nginx, poller
        self._file, self._resolver = file, Resolver()
        self._backends: tuple[Backend, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._judged: tuple[Any, ...] | None = None

    async def begin(self) -> None:
        """Read the backends, give them to nginx and begin to follow them; NimError if they are unusable."""
        self._judged = self._signature()
        await self._apply(self._read(None))
        loop = asyncio.get_running_loop()
        if self._file:
            self._tasks.append(loop.create_task(self._follow_file()))
        self._tasks.append(loop.create_task(self._follow_names()))

    def stop(self) -> None:
        """Follow nothing any more."""
        for task in self._tasks:
            task.cancel()

    async def _apply(self, backends: tuple[Backend, ...]) -> None:
        """Resolve the hosts of these backends and take them over, if nginx takes them."""
        places = await self._resolver.places(backends)
        if not await self._nginx.apply(backends, places):
            return
        self._backends = backends
        self._fleet.replace(backends, places)
        self._nginx.adopt(self._fleet)
        self._poller.follow()

    async def _follow_file(self) -> None:
        """Apply the file whenever it has changed and has stopped changing."""
        seen = self._judged
        while True:
            await asyncio.sleep(FILE_SECONDS)
            before, seen = seen, self._signature()
            if seen == self._judged or seen != before:
                continue
            self._judged = seen
            await self._apply_file()

    async def _apply_file(self) -> None:
        """Apply the file as it is now; log why it cannot be used."""
        try:
            backends = self._read(None)
        except NimError as error:
            self._nginx.refused += 1
            log.error("%s; the backends stay as they were", " ".join(str(error).split("\n")))
            return
        await self._apply(backends)
        log.info("the file of backends has changed: %d backends", len(self._backends))

    async def _follow_names(self) -> None:
        """Apply the backends again where the addresses of their hosts have changed."""
        while True:
            await asyncio.sleep(NAMES_SECONDS)
            places = await self._resolver.places(self._backends)
            if {place.name for place in places} != set(self._fleet.replicas):
                log.info("the addresses of backends have changed: %d replicas", len(places))
                await self._apply(self._backends)

    def _signature(self) -> tuple[Any, ...] | None:
        """Return device, inode, size and time of the file; None if it is not there."""
        try:
            now = Path(self._file or "").stat()
        except OSError:
            return None
        return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
