"""A server of a test, in a thread of its own."""

import asyncio
import ssl
import threading
from collections.abc import Callable
from typing import Any

from aiohttp import web


class ServerThread:
    """Serves an application on a port, from `start` to `stop`."""

    def __init__(
        self, app: Callable[[], web.Application], port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._app, self._port, self._tls = app, port, tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(20)

    def stop(self) -> None:
        """Close all connections, and listen no more."""
        if self._thread:
            self.call(self._stop.set)
            self._thread.join(20)
            self._thread = None

    def call(self, function: Callable[[], Any]) -> None:
        """Call a function in the server's thread."""
        assert self._loop
        self._loop.call_soon_threadsafe(function)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop.clear()
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port, reuse_address=True, ssl_context=self._tls).start()
        ready.set()
        await self._stop.wait()
        await runner.cleanup()
