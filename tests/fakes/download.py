"""A download as the hub's client makes it: files that grow under another name until they are whole."""

import asyncio
import time
from pathlib import Path

from tests.fakes import words
from tests.fakes.service import Service

STEPS = 50


async def fetch(service: Service) -> None:
    """Write what the mood says, at an even pace; nothing where it says nothing."""
    order = service.mood.fetch
    if not order:
        return
    blobs = Path(order["directory"]) / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    files, began = order.get("files", 2), time.monotonic()
    for number in range(files):
        partial = blobs / f"{number:064x}.0.incomplete"
        with partial.open("wb") as file:
            for _ in range(STEPS):
                file.write(b"x" * (order["bytes"] // files // STEPS))
                file.flush()
                await asyncio.sleep(order["seconds"] / files / STEPS)
        partial.rename(blobs / f"{number:064x}")
    words.tell_fetched(service.model, time.monotonic() - began)
