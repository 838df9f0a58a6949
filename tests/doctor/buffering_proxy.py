"""A faulty proxy: it buffers each answer, and keeps requests running for clients that have left.

python buffering_proxy.py PORT PORT_BEHIND
"""

import asyncio
import sys

import aiohttp
from aiohttp import web

# Of one connection only, or made anew.
NOT_PASSED_ON = (
    "connection",
    "transfer-encoding",
    "content-length",
    "content-encoding",
    "date",
    "keep-alive",
)


async def pass_on(request: web.Request) -> web.Response:
    """Return one request, and its answer when that is complete."""
    url = f"http://127.0.0.1:{request.app[BEHIND]}{request.raw_path}"
    headers = {name: value for name, value in request.headers.items() if name.lower() not in NOT_PASSED_ON}
    body = await request.read()
    async with (
        aiohttp.ClientSession(auto_decompress=True, skip_auto_headers=["User-Agent"]) as session,
        session.request(request.method, url, headers=headers, data=body) as answer,
    ):
        text = await answer.read()
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in NOT_PASSED_ON}
        return web.Response(status=answer.status, headers=kept, body=text)


BEHIND = web.AppKey("behind", int)


async def serve(port: int, behind: int) -> None:
    """Serve until killed."""
    app = web.Application(client_max_size=0)
    app[BEHIND] = behind
    app.router.add_route("*", "/{path:.*}", pass_on)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
