"""Servers in place of the hub: web pages, proxies, wrong ports, wrong certificates."""

import contextlib
import datetime
import http.server
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = b"<html><body>please log in</body></html>"


@contextmanager
def answering(
    status: int = 200,
    body: bytes = PAGE,
    *,
    tls: ssl.SSLContext | None = None,
    **headers: str,
) -> Iterator[int]:
    """Yield a server that gives one answer to everything; its port."""
    sent = {"Content-Type": "text/html", **{name.replace("_", "-"): value for name, value in headers.items()}}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in sent.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_CONNECT = do_GET  # noqa: N815 (their names are the standard library's)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with _running(server):
        yield int(server.server_address[1])


@contextmanager
def saying(words: bytes) -> Iterator[int]:
    """Yield a server of another protocol: it says something and hangs up."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.recv(65536)
                self.request.sendall(words)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with _running(server):
        yield int(server.server_address[1])


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(directory: Path, *, name: str = "localhost", begin: int = -1, end: int = 1) -> Path:
    """Return a self-signed certificate and its key in one file, valid from day `begin` to `end` from now."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "index").write_text("")
    (directory / "serial").write_text("01")
    (directory / "conf").write_text(_CONFIG.format(directory=directory, name=name))
    key, request, found = directory / "key.pem", directory / "request.pem", directory / "certificate.pem"
    now = datetime.datetime.now(datetime.UTC)
    dates = [(now + datetime.timedelta(days=day)).strftime("%Y%m%d%H%M%SZ") for day in (begin, end)]
    subject = ["-subj", f"/CN={name}", "-config", str(directory / "conf")]
    _openssl(
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(request), *subject
    )
    _openssl(
        *("ca", "-batch", "-selfsign", "-config", str(directory / "conf"), "-keyfile", str(key)),
        *("-in", str(request), "-out", str(found), "-startdate", dates[0], "-enddate", dates[1], "-notext"),
    )
    both = directory / "both.pem"
    both.write_bytes(found.read_bytes() + key.read_bytes())
    return both


def tls_of(certificate_file: Path) -> ssl.SSLContext:
    """Return what a server with this certificate speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file)
    return context


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


_CONFIG = """\
[ca]
default_ca = own
[own]
new_certs_dir = {directory}
database = {directory}/index
serial = {directory}/serial
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = DNS:{name}
[req]
distinguished_name = subject
[subject]
"""
