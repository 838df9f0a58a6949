"""Follow the backends: their file, the addresses of their hosts, and nginx's configuration after both."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nim.errors import NimError
from nim.proxy.backend_services import Backend, Kubernetes
from nim.proxy.read_backends import Document
from nim.proxy.routing.models_of_backends import Fleet
from nim.proxy.upkeep.follow_kubernetes import KubernetesFollower
from nim.proxy.upkeep.poll_replicas import Poller
from nim.proxy.upkeep.reload_nginx import NginxReload
from nim.proxy.upkeep.resolve_names import Resolver

log = logging.getLogger(__name__)

FILE_SECONDS, NAMES_SECONDS = 1.0, 15.0

Read = Callable[[], Document]


class Follower:
    """Applies each change of the backends. A file that cannot be used is reported and changes nothing."""

    def __init__(
        self, read: Read, fleet: Fleet, nginx: NginxReload, poller: Poller, file: str | None
    ) -> None:
        self._read, self._fleet, self._nginx, self._poller = read, fleet, nginx, poller
        self._file, self._resolver = file, Resolver()
        self.environ: Mapping[str, str] = {}
        self._named: tuple[Backend, ...] = ()
        self._found: tuple[Backend, ...] = ()
        self._backends: tuple[Backend, ...] = ()
        self._kubernetes: KubernetesFollower | None = None
        self._watched: Kubernetes | None = None
        self._applying = asyncio.Lock()
        self._tasks: list[asyncio.Task[Any]] = []
        self._judged: tuple[Any, ...] | None = None

    async def begin(self) -> None:
        """Read the backends, give them to nginx and begin to follow them; NimError if they are unusable."""
        self._judged = self._signature()
        document = self._read()
        self._nginx.more = document.kubernetes is not None
        await self._apply(document.backends)
        loop = asyncio.get_running_loop()
        await self._follow_kubernetes(document.kubernetes)
        if self._file:
            self._tasks.append(loop.create_task(self._follow_file()))
        self._tasks.append(loop.create_task(self._follow_names()))

    async def stop(self) -> None:
        """Follow nothing any more."""
        for task in self._tasks:
            task.cancel()
        if self._kubernetes:
            await self._kubernetes.stop()

    async def _follow_kubernetes(self, wanted: Kubernetes | None) -> None:
        """Find backends in Kubernetes as the file wants it now; NimError, and all as before, if it cannot."""
        if wanted == self._watched:
            return
        new = None
        if wanted:
            new = KubernetesFollower(wanted, self.environ, self._on_found)
            await new.begin()
        if self._kubernetes:
            await self._kubernetes.stop()
        self._kubernetes, self._watched = new, wanted
        self._nginx.more = wanted is not None
        if wanted is None:
            self._found = ()

    def _on_found(self, backends: tuple[Backend, ...]) -> None:
        """Apply the backends that were found in Kubernetes, besides those that are named."""
        if backends != self._found:
            log.info("%d backends in Kubernetes", len(backends))
            self._found = backends
            self._tasks = [task for task in self._tasks if not task.done()]
            self._tasks.append(asyncio.get_running_loop().create_task(self._apply(self._named)))

    async def _apply(self, named: tuple[Backend, ...]) -> bool:
        """Resolve the hosts of all backends, and take them over if nginx does; return whether it did.

        A name in the file wins.
        """
        async with self._applying:
            names = {backend.name for backend in named}
            backends = (*named, *(one for one in self._found if one.name not in names))
            places = await self._resolver.places(backends)
            if not await self._nginx.apply(backends, places):
                return False
            self._named, self._backends = named, backends
            self._fleet.replace(backends, places)
            self._nginx.adopt(self._fleet)
            self._poller.follow()
            return True

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
            document = self._read()
            await self._follow_kubernetes(document.kubernetes)
        except NimError as error:
            self._nginx.refused += 1
            log.error("%s; the backends stay as they were", " ".join(str(error).split("\n")))
            return
        if await self._apply(document.backends):
            log.info("the file of backends has changed: %d backends", len(self._named))

    async def _follow_names(self) -> None:
        """Apply the backends again where the addresses of their hosts have changed."""
        while True:
            await asyncio.sleep(NAMES_SECONDS)
            places = await self._resolver.places(self._backends)
            if {place.name for place in places} != set(self._fleet.replicas):
                log.info("the addresses of backends have changed: %d replicas", len(places))
                await self._apply(self._named)

    def _signature(self) -> tuple[Any, ...] | None:
        """Return device, inode, size and time of the file; None if it is not there."""
        try:
            now = Path(self._file or "").stat()
        except OSError:
            return None
        return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
