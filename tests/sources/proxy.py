"""A proxy for HTTP: it tunnels, keeps what it was asked for, and may want a password."""

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class RunningProxy:
    """`port` is where it listens; `asked` has the targets of all tunnels."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []


@contextmanager
def running_proxy(*, password: str | None = None) -> Iterator[RunningProxy]:
    """Yield a proxy; with a password (Basic, in base 64) it answers 407 to those without."""
    running = RunningProxy()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            words = self.rfile.readline().decode().split()
            headers = b""
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                headers += line
            running.asked.append(words[1])
            if password and password.encode() not in headers:
                self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            host, _, port = words[1].rpartition(":")
            with suppress(OSError), socket.create_connection((host, int(port))) as target:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                _join(self.connection, target)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _join(one: socket.socket, other: socket.socket) -> None:
    """Pass on bytes in both directions until one side ends."""
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            (other if ready is one else one).sendall(data)
