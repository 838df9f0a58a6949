"""Cost of the catalog's class for each request, at 1 KB and 1.3 MB: processor time, least of many rounds."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from nim.vllm_plugins.catalog_requests.asgi_middleware import CHAT, Catalog
from nim.vllm_plugins.catalog_requests.launcher_settings import Rules

ROUNDS = 30
SIZES = (1_000, 1_300_000)


async def application(_: Any, receive: Any, __: Any) -> None:
    """Read a request to its end, as vLLM does before it parses it."""
    while (await receive()).get("more_body"):
        pass


def body(size: int, **more: Any) -> bytes:
    """Return a chat of about this size, with a picture in a part."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * size}}
    return json.dumps({"messages": [{"role": "user", "content": [picture]}], **more}).encode()


def tagged(size: int) -> bytes:
    """Return a chat of about this size, with a picture in a tag."""
    tag = f'What is this? <img src="data:image/png;base64,{"A" * size}" />'
    return json.dumps({"messages": [{"role": "user", "content": tag}]}).encode()


async def milliseconds(app: Callable[..., Awaitable[None]], data: bytes) -> float:
    """Return the least processor time of one request in milliseconds."""
    times = []
    for _ in range(ROUNDS):
        messages = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive() -> Any:
            return messages.pop()  # noqa: B023 - used before the next round

        scope = {"type": "http", "method": "POST", "path": CHAT, "headers": []}
        began = time.process_time()
        await app(scope, receive, receive)
        times.append(time.process_time() - began)
    return min(times) * 1000


async def main() -> None:
    """Measure and print."""
    catalog = Catalog(application, Rules())
    print("| request | bytes | without ms | with ms |\n|---|---|---|---|")
    for size in SIZES:
        for name, data in (
            ("passes as it is", body(size)),
            ("reasoning_budget", body(size, reasoning_budget=5)),
            ("picture in a tag", tagged(size)),
        ):
            bare, full = await milliseconds(application, data), await milliseconds(catalog, data)
            print(f"| {name} | {len(data)} | {bare:.3f} | {full:.3f} |")


if __name__ == "__main__":
    asyncio.run(main())
