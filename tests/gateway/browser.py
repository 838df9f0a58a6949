"""Pages in headless Chromium that send requests to a gateway and report what the browser lets them read."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE_SECONDS = 180.0  # a first start of Chromium reads 300 MB from a disk that others use
FOREIGN_HOST = "evil.test"
FLAGS = (
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--ignore-certificate-errors"),
    *("--disable-dev-shm-usage", f"--host-resolver-rules=MAP {FOREIGN_HOST} 127.0.0.1"),
)
# Each request is one that `fetch` takes, or `websocket`; what the browser refuses is the verdict "refused".
PAGE = """<!doctype html><script>
async function fetched({url, show, ...init}) {
  const answer = await fetch(url, init);
  const reader = answer.body && answer.body.getReader(), parts = [];
  for (let part; reader && !(part = await reader.read()).done;) {
    parts.push(new TextDecoder().decode(part.value));
    await fetch("/read", {method: "POST", body: parts.join("")});
  }
  const shown = Object.fromEntries((show || []).map(name => [name, answer.headers.get(name)]));
  return {status: answer.status, parts, shown};
}
function opened(url) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.onopen = () => resolve({opened: true});
    socket.onerror = reject;
  });
}
async function ask() {
  document.cookie = "page=known";
  const verdicts = [];
  for (const asked of REQUESTS) {
    try {
      verdicts.push(await (asked.websocket ? opened(asked.websocket) : fetched(asked)));
    } catch (error) {
      verdicts.push("refused");
    }
  }
  await fetch("/verdicts", {method: "POST", body: JSON.stringify(verdicts)});
}
ask();
</script>"""


@dataclass(slots=True)
class Site:
    """A server of one page. `read` is set as soon as the page has read the beginning of an answer."""

    port: int = 0
    requests: Sequence[dict[str, Any]] = ()
    read: asyncio.Event = field(default_factory=asyncio.Event)
    verdicts: "asyncio.Future[list[Any]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def origin(self, host: str) -> str:
        return f"http://{host}:{self.port}"

    async def page(self, _: web.Request) -> web.Response:
        text = PAGE.replace("REQUESTS", json.dumps(self.requests))
        return web.Response(text=text, content_type="text/html")

    async def take_read(self, _: web.Request) -> web.Response:
        self.read.set()
        return web.Response()

    async def take_verdicts(self, request: web.Request) -> web.Response:
        if not self.verdicts.done():
            self.verdicts.set_result(json.loads(await request.text()))
        return web.Response()


@asynccontextmanager
async def served() -> AsyncIterator[Site]:
    """Yield a Site on a free port of the loopback interface."""
    site = Site()
    app = web.Application()
    app.router.add_get("/", site.page)
    app.router.add_post("/read", site.take_read)
    app.router.add_post("/verdicts", site.take_verdicts)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    site.port = runner.addresses[0][1]
    try:
        yield site
    finally:
        await runner.cleanup()


async def verdicts_of(site: Site, host: str, profile: Path, *requests: dict[str, Any]) -> list[Any]:
    """Return for each request what a page of this host could read of the answer, or "refused"."""
    assert CHROMIUM
    site.requests = requests
    site.verdicts = asyncio.get_running_loop().create_future()
    root = ["--no-sandbox"] if os.getuid() == 0 else []
    command = [CHROMIUM, *FLAGS, *root, f"--user-data-dir={profile}", site.origin(host)]
    with (profile.parent / "chromium.log").open("wb") as log:
        browser = await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=log, start_new_session=True
        )
    try:
        return await asyncio.wait_for(site.verdicts, PATIENCE_SECONDS)
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        await browser.wait()
