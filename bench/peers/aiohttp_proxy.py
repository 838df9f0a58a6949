"""A minimal proxy written with aiohttp that passes streams correctly.

`python -m bench.peers.aiohttp_proxy PORT UPSTREAM_PORT` runs it.
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web

from bench.peers.peer import Command, Peer, Site

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}
UPSTREAM = web.AppKey("upstream", str)
SESSION = web.AppKey("session", aiohttp.ClientSession)


async def forward(request: web.Request) -> web.StreamResponse:
    """Return one request, and its answer piece by piece."""
    session, url = request.app[SESSION], request.app[UPSTREAM] + request.path_qs
    headers = {name: text for name, text in request.headers.items() if name.lower() not in HOP_BY_HOP}
    body = await request.read()
    async with session.request(request.method, url, headers=headers, data=body) as answer:
        kept = {name: text for name, text in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        response = web.StreamResponse(status=answer.status, headers=kept)
        response.content_length = answer.content_length
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def _session(app: web.Application) -> AsyncIterator[None]:
    no_limits = aiohttp.ClientTimeout(total=None, sock_read=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        timeout=no_limits, connector=connector, auto_decompress=False
    ) as session:
        app[SESSION] = session
        yield


def main(port: int, upstream_port: int) -> None:
    """Serve."""
    app = web.Application(client_max_size=1 << 30)
    app[UPSTREAM] = f"http://127.0.0.1:{upstream_port}"
    app.cleanup_ctx.append(_session)
    app.router.add_route("*", "/{path:.*}", forward)
    # Without the last, a client that leaves a silent stream is not noticed.
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, handler_cancellation=True)


def _command(site: Site) -> Command:
    argv = [sys.executable, "-m", "bench.peers.aiohttp_proxy", str(site.port), str(site.upstream_port)]
    return Command(argv=argv, env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])})


AIOHTTP = Peer(name="aiohttp", title=f"aiohttp {aiohttp.__version__}, own proxy", command=_command)

if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
