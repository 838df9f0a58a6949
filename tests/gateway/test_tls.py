"""TLS of a real nginx, judged by OpenSSL: protocols, ciphers, HTTP/2, client certificates."""

import asyncio
import shutil
import signal
import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from nim.cleanup.read_and_watch_processes import all_processes
from nim.plan import ApiKeys, Tls
from nim.planning.read_host_facts import find_lua_modules
from nim.preflight.read_api_keys_file import digest_of
from tests.certificates import Authority, Pair
from tests.gateway.conftest import Build, GatewayStack
from tests.gateway.nginx import PATIENCE_SECONDS, free_port, until
from tests.gateway.upstream import Received

OLD = ("tls1", "tls1_1")
SLOW_CLIENTS = 1000
READY = "/v1/health/ready"
WEAK_CIPHERS = ("AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "NULL", "aNULL")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.fixture
async def encrypted(build: Build, authority: Authority) -> GatewayStack:
    """A gateway that serves TLS on both ports."""
    pair = authority.issue("service")
    return await build(tls=Tls(certificates=pair.certificate, key=pair.key), health_port=free_port())


@pytest.fixture
async def mutual(build: Build, authority: Authority) -> GatewayStack:
    """A gateway whose API port asks for a client certificate of the authority."""
    pair = authority.issue("service")
    tls = Tls(certificates=pair.certificate, key=pair.key, client_authorities=authority.certificate)
    return await build(tls=tls, health_port=free_port())


async def curl(url: str, *more: str) -> tuple[str, str]:
    """The status and HTTP version, and the body, of one request."""
    command = ["curl", "-s", "-w", "\n%{http_code} %{http_version}", *more, url]
    body, _, status = (await _run(command)).rpartition("\n")
    return status, body


async def handshake(port: int, *options: str) -> str:
    """What OpenSSL's client reports about a handshake."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options]
    return await _run(command)


async def _run(command: list[str]) -> str:
    """What a program prints, stderr last. The event loop goes on meanwhile: the engine is in it."""
    found = await asyncio.to_thread(
        subprocess.run, command, input=b"", capture_output=True, check=False, timeout=20
    )
    return (found.stdout + found.stderr).decode(errors="replace")


@pytest.mark.parametrize("version", OLD)
async def test_an_old_protocol_is_refused(encrypted: GatewayStack, version: str) -> None:
    for port in (encrypted.port, encrypted.nginx.gateway.health_port):
        assert port
        assert "alert protocol version" in await handshake(port, f"-{version}", "-cipher", "ALL@SECLEVEL=0")


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
async def test_both_modern_protocols_are_spoken(
    encrypted: GatewayStack, authority: Authority, version: str
) -> None:
    said = await handshake(
        encrypted.port, f"-{version}", "-CAfile", authority.certificate, "-alpn", "h2,http/1.1"
    )
    assert "Verification: OK" in said
    assert "ALPN protocol: h2" in said


@pytest.mark.parametrize("cipher", WEAK_CIPHERS)
async def test_a_cipher_without_forward_secrecy_or_authentication_is_refused(
    encrypted: GatewayStack, cipher: str
) -> None:
    said = await handshake(encrypted.port, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    assert "Cipher is (NONE)" in said


async def test_http_2_reaches_the_engine(encrypted: GatewayStack, authority: Authority) -> None:
    status, _ = await curl(
        f"https://localhost:{encrypted.port}/v1/models", "--http2", "--cacert", authority.certificate
    )
    assert status == "200 2"
    assert [request.target for request in encrypted.engine.received] == ["/v1/models"]


async def test_plain_http_is_told_to_use_https(encrypted: GatewayStack) -> None:
    status, body = await curl(f"http://localhost:{encrypted.port}/v1/models")
    assert status == "400 1.1"
    assert '"code":"tls_required"' in body
    assert "https://" in body


async def test_a_request_without_a_client_certificate_is_refused(
    mutual: GatewayStack, authority: Authority
) -> None:
    status, body = await curl(f"https://localhost:{mutual.port}/v1/models", "--cacert", authority.certificate)
    assert status.startswith("400")
    assert '"code":"client_certificate"' in body
    assert mutual.engine.received == []


async def test_a_client_certificate_of_another_authority_is_refused(
    mutual: GatewayStack, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "other").issue("client")
    status, body = await _as_client(mutual, authority, stranger)
    assert status.startswith("400")
    assert '"code":"client_certificate"' in body
    assert mutual.engine.received == []


async def test_a_client_certificate_of_the_authority_is_accepted(
    mutual: GatewayStack, authority: Authority
) -> None:
    status, _ = await _as_client(mutual, authority, authority.issue("client"))
    assert status == "200 2"


async def _as_client(stack: GatewayStack, authority: Authority, pair: Pair) -> tuple[str, str]:
    """A request with a client certificate."""
    certificate = ("--cert", pair.certificate, "--key", pair.key)
    url = f"https://localhost:{stack.port}/v1/models"
    return await curl(url, "--cacert", authority.certificate, *certificate)


async def test_the_health_port_asks_for_no_client_certificate(
    mutual: GatewayStack, authority: Authority
) -> None:
    port = mutual.nginx.gateway.health_port
    status, _ = await curl(f"https://localhost:{port}/v1/health/live", "--cacert", authority.certificate)
    assert status == "200 2"


async def test_a_session_is_not_resumed_with_a_ticket(encrypted: GatewayStack, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.certificate)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert "TLS session ticket:" not in await handshake(encrypted.port, "-tls1_2")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_of_a_replaced_authority_cannot_resume_its_session(
    mutual: GatewayStack, authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The new authority has the name of the old one, as after the loss of its key."""
    context = ssl.create_default_context(cafile=authority.certificate)
    context.maximum_version = version
    client = authority.issue("client")
    context.load_cert_chain(client.certificate, client.key)
    answer, session = await asyncio.to_thread(_ask_within, context, mutual.port, None)
    assert b" 200 " in answer
    _replace(authority, tmp_path / "new")
    await reload(mutual)
    answer, _ = await asyncio.to_thread(_ask_within, context, mutual.port, session)
    assert b" 400 " in answer
    assert b"client_certificate" in answer
    assert len(mutual.engine.received) == 1


def _replace(authority: Authority, directory: Path) -> None:
    """Write the certificate of a new authority, with another key and the same name, over that of this one."""
    directory.mkdir()
    old = Path(authority.certificate)
    shutil.copy(Authority(directory / old.parent.name).certificate, old)


def _ask_within(
    context: ssl.SSLContext, port: int, session: ssl.SSLSession | None
) -> tuple[bytes, ssl.SSLSession | None]:
    """The answer to one request, in a session that is resumed if the gateway does so, and the session."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as link,
    ):
        link.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        with link.makefile("rb") as file:
            return file.read(), link.session


async def reload(stack: GatewayStack) -> None:
    """Have nginx read its files again, and wait until its former workers accept no more connections."""
    program = stack.nginx.program
    assert program
    before = _workers(program.pid)
    program.send_signal(signal.SIGHUP)
    await until(lambda: bool(_workers(program.pid)) and not before & _workers(program.pid))


def _workers(master: int) -> set[int]:
    """The worker processes that accept connections: others are renamed when they begin to shut down."""
    found = all_processes().values()
    pids = [process.pid for process in found if process.parent == master]
    return {pid for pid in pids if b"worker process is" not in _command_line(pid)}


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b"worker process is"


async def test_streams_of_one_connection_are_judged_each_by_its_key(build: Build, tmp_path: Path) -> None:
    if not find_lua_modules():
        pytest.skip("nginx's Lua module is not installed")
    (tmp_path / "api_keys").write_text(f"alice {digest_of('right')}\n")
    authority = Authority(tmp_path / "tls")
    pair = authority.issue("service")
    keys = ApiKeys(file="/unread", from_environment=False, nginx_modules=find_lua_modules())
    stack = await build(api_keys=keys, tls=Tls(certificates=pair.certificate, key=pair.key))
    url = f"https://localhost:{stack.port}/v1/models"
    requests: list[str] = []
    for key in ("right", "wrong", None, "right"):
        header = ("-H", f"Authorization: Bearer {key}") if key else ()
        requests += ["--next", "-s", "--http2", "--cacert", authority.certificate, *header, url]
    await _run(["curl", *requests[1:]])
    lines = await stack.nginx.logged_json(4)
    assert [line["status"] for line in lines] == [200, 401, 401, 200]
    assert len({line["connection"] for line in lines}) == 1


async def test_a_thousand_half_handshakes_leave_room_for_health_and_for_a_client(
    encrypted: GatewayStack, authority: Authority
) -> None:
    hello = _first_message_of_a_client()
    slow = [await asyncio.open_connection("127.0.0.1", encrypted.port) for _ in range(SLOW_CLIENTS)]
    for number, (_, writer) in enumerate(slow):
        writer.write(hello if number % 2 else hello[: len(hello) // 2])
        await writer.drain()
    trusting = ("--cacert", authority.certificate)
    for port, path in ((encrypted.nginx.gateway.health_port, READY), (encrypted.port, "/v1/models")):
        status, _ = await curl(f"https://localhost:{port}{path}", *trusting)
        assert status == "200 2"
    for _, writer in slow:
        writer.close()


def _first_message_of_a_client() -> bytes:
    sent = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(
            ssl.MemoryBIO(), sent, server_hostname="localhost"
        ).do_handshake()
    return sent.read()


@pytest.mark.parametrize("polite", [True, False], ids=["close_notify", "TCP only"])
async def test_a_client_that_closes_its_connection_is_noticed(
    encrypted: GatewayStack, authority: Authority, polite: bool
) -> None:
    """As both SDKs do. One that ends TLS and keeps the TCP connection is not noticed: docs/operate.md."""
    begun, left = asyncio.Event(), asyncio.Event()

    async def stay_silent(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        begun.set()
        await reader.read(1)
        left.set()

    encrypted.engine.answering = stay_silent
    context = ssl.create_default_context(cafile=authority.certificate)
    link = await asyncio.to_thread(_begin, context, encrypted.port)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await begun.wait()
        if polite:
            with suppress(ssl.SSLWantReadError):
                link.unwrap()
        link.close()
        await left.wait()


def _begin(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    """A connection on which a request has been sent."""
    link = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
    link.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
    link.setblocking(False)
    return link
