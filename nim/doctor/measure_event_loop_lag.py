"""Measure how late this process itself is scheduled: events it reads late appear merged."""

import asyncio
import time
from contextlib import suppress

TICK_SECONDS = 0.005


class ClockLag:
    """Adds up by how many seconds sleeps overran while the context lasts; what is usual counts as 0."""

    def __init__(self) -> None:
        self.late_seconds = 0.0

    async def __aenter__(self) -> "ClockLag":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        """Sleep 5 ms again and again until cancelled, and add up by how much the sleeps overran."""
        while True:
            began = time.monotonic()
            try:
                await asyncio.sleep(TICK_SECONDS)
            finally:  # includes the last sleep, which may be the longest
                late = time.monotonic() - began - TICK_SECONDS
                self.late_seconds += late if late > TICK_SECONDS else 0.0
