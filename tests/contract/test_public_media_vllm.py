"""vLLM's media connector, as this project sets it up, against addresses that lead to this machine."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import nim.supervision.run_vllm_cpu  # noqa: F401 - names vLLM's distribution

pytestmark = pytest.mark.engine


class Bytes:
    """The part of a MediaIO that is needed to fetch."""

    def get_max_bytes(self) -> None:
        return None

    def load_bytes(self, data: bytes) -> bytes:
        return data


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Yield the port of a server of this machine, on both loopback addresses; it counts who asks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"secret")

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6

    with Server(("::", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
async def connector() -> AsyncIterator[Any]:
    """Yield vLLM's connector of that name, with a client of its own."""
    from vllm.multimodal.media import MEDIA_CONNECTOR_REGISTRY

    from nim.vllm_plugins import public_media

    public_media.connection.cache_clear()
    yield MEDIA_CONNECTOR_REGISTRY.load(public_media.NAME, media_io_kwargs=None, allowed_media_domains=None)
    await public_media.connection().close()


# aiohttp itself takes some forms of addresses for no host at all.
REFUSED = "not public|Invalid URL"
URLS = (
    "http://127.0.0.1:PORT/a.png",
    "http://localhost:PORT/",
    "http://[::1]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[0:0:0:0:0:ffff:7f00:1]:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://127.1:PORT/",
    "http://0.0.0.0:PORT/",
    "http://[::]:PORT/",
    "HTTP://LOCALHOST:PORT/",
    "http://user:word@127.0.0.1:PORT/",
)


@pytest.mark.parametrize("url", URLS)
async def test_no_form_of_this_machine_s_address_is_connected_to(connector: Any, port: int, url: str) -> None:
    with pytest.raises(Exception, match=REFUSED) as refused:
        await connector.load_from_url_async(url.replace("PORT", str(port)), Bytes(), fetch_timeout=5)
    assert "secret" not in str(refused.value)
    with pytest.raises(Exception, match=REFUSED):
        connector.load_from_url(url.replace("PORT", str(port)), Bytes(), fetch_timeout=5)


async def test_a_name_that_changes_its_mind_is_judged_as_it_is_connected_to(
    connector: Any, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is public, the second private: it is the one that a socket is opened for."""
    asked = 0
    real = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **how: Any) -> Any:
        nonlocal asked
        if host not in (b"rebind.test", "rebind.test"):
            return real(host, *more, **how)
        asked += 1
        address = "93.184.215.14" if asked == 0 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(Exception, match="not public"):
        await connector.load_from_url_async(f"http://rebind.test:{port}/", Bytes(), fetch_timeout=5)
    assert asked == 1, "resolved once, by the client itself"


async def test_behind_a_proxy_what_resolves_here_is_judged_before_it_is_asked(
    connector: Any, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    with pytest.raises(Exception, match="not public"):
        await connector.load_from_url_async("http://localhost:9/", Bytes(), fetch_timeout=5)
    # A name that only the proxy knows is its to judge.
    data = await connector.load_from_url_async("http://name.invalid/a.png", Bytes(), fetch_timeout=5)
    assert data == b"secret"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "FILE:///etc/passwd", "ftp://127.0.0.1/", "gopher://x/"]
)
async def test_other_schemes_are_refused(connector: Any, url: str) -> None:
    with pytest.raises(Exception, match=r"must be either|opens no such file"):
        await connector.load_from_url_async(url, Bytes())


async def test_the_application_passes_through_untouched() -> None:
    from nim.vllm_plugins.public_media import PublicMedia

    app = object()
    assert PublicMedia(app) is app
