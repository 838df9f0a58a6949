"""A web server for a directory of files, with S3's listing and every fault that a test asks for."""

import hashlib
import http.server
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

BLOCK_BYTES = 16 * 1024
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(kw_only=True)
class Faults:
    """What the server does wrong. Counts are used up, one for each request that they hit."""

    bytes_per_second: float | None = None  # of all answers together
    cut_after: int | None = None  # bytes of a body, after which the connection is closed
    cuts: int = 0
    statuses: list[int] = field(default_factory=list)  # the answers to the next requests for files
    flip: str | None = None  # the file whose answers have one wrong byte
    flips: int = 1_000_000
    token: str | None = None  # required, as a bearer
    status_for_all: int | None = None
    etags: bool = True
    ranges: bool = True
    lengths: bool = True


@dataclass(kw_only=True)
class FileServer:
    """A running server: its address, its faults, and what it has been asked and has sent."""

    root: Path
    faults: Faults
    url: str = ""
    asked: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    sent_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    clock: float = 0.0
    served: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)  # path and query → JSON of other APIs
    more_headers: dict[str, str] = field(default_factory=dict)  # of files

    def pace(self, count: int) -> None:
        """Wait as long as so many bytes take at the rate of the whole server."""
        if not self.faults.bytes_per_second:
            return
        with self.lock:
            self.clock = max(self.clock, time.monotonic()) + count / self.faults.bytes_per_second
            wait = self.clock - time.monotonic()
        time.sleep(max(wait, 0))


@contextmanager
def serving_files(root: Path, *, tls: ssl.SSLContext | None = None, **faults: Any) -> Iterator[FileServer]:
    """Yield a server of the files below `root`, on a port of its own."""
    server = FileServer(root=root, faults=Faults(**faults))
    handler = type("Handler", (_Handler,), {"files": server})
    listening = _Server(("127.0.0.1", 0), handler)
    if tls:
        listening.socket = tls.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Keep quiet: clients that are killed break off."""


class _Handler(http.server.BaseHTTPRequestHandler):
    files: FileServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        # What lies in a large buffer of a killed client's connection would count as sent.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * BLOCK_BYTES)
        super().setup()

    def do_GET(self) -> None:
        files, faults = self.files, self.files.faults
        parts = urlsplit(self.path)
        with files.lock:
            files.asked.append(f"{self.command} {self.path}")
            files.headers.append(dict(self.headers))
        path = files.root / unquote(parts.path).lstrip("/")
        if faults.status_for_all:
            self._say(faults.status_for_all, b"no")
        elif faults.token and self.headers["Authorization"] != f"Bearer {faults.token}":
            self._say(401, b"")
        elif self.path in files.more:
            self._say(200, json.dumps(files.more[self.path]).encode(), "application/json")
        elif "list-type" in parse_qs(parts.query):
            self._list_bucket(path, parse_qs(parts.query).get("prefix", [""])[0])
        elif path.is_dir():
            self._index(path)
        elif not path.is_file():
            self._say(404, b"not here")
        elif self.command == "GET" and faults.statuses:
            self._say(faults.statuses.pop(0), b"")
        else:
            self._file(path)

    do_HEAD = do_GET  # noqa: N815 (the standard library's name)

    def _say(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _index(self, path: Path) -> None:
        names = [f"{one.name}/" if one.is_dir() else one.name for one in sorted(path.iterdir())]
        links = "".join(f'<a href="{quote(name)}">{escape(name)}</a>\n' for name in ["../", *names])
        self._say(200, f"<html><body>{links}</body></html>".encode(), "text/html")

    def _list_bucket(self, bucket: Path, prefix: str) -> None:
        found = (path for path in sorted(bucket.rglob("*")) if path.is_file())
        names = {str(path.relative_to(bucket)): path for path in found}
        contents = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{escape(etag(path))}</ETag><Size>{path.stat().st_size}</Size></Contents>"
            for name, path in names.items()
            if name.startswith(prefix)
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        self._say(200, body.encode(), "application/xml")

    def _file(self, path: Path) -> None:
        size, faults = path.stat().st_size, self.files.faults
        asked = _RANGE.fullmatch(self.headers.get("Range", "")) if faults.ranges else None
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, size) if asked and asked[2] else size
        if (wanted := self.headers.get("If-Match")) and wanted != etag(path):
            self._say(412, b"")
            return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        if faults.etags:
            self.send_header("ETag", etag(path))
        for header, value in self.files.more_headers.items():
            self.send_header(header, value)
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if faults.lengths:
            self.send_header("Content-Length", str(end - start))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            with suppress(OSError):
                self._send_range(path, start, end)

    def _send_range(self, path: Path, start: int, end: int) -> None:
        files, faults = self.files, self.files.faults
        name = str(path.relative_to(files.root))
        at = start
        with path.open("rb") as file:
            file.seek(start)
            while at < end:
                block = file.read(min(BLOCK_BYTES, end - at))
                if faults.flip and path.name == faults.flip and faults.flips and at == start:
                    faults.flips -= 1
                    block = bytes([block[0] ^ 1]) + block[1:]
                if faults.cuts and faults.cut_after is not None and at - start >= faults.cut_after:
                    faults.cuts -= 1
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                files.pace(len(block))
                self.wfile.write(block)
                with files.lock:
                    files.sent_bytes += len(block)
                    files.served.setdefault(name, []).append((at, at + len(block)))
                at += len(block)

    def log_message(self, *_: object) -> None:
        pass


def etag(path: Path) -> str:
    """Return the file's ETag, as S3 makes it of an object that was put in one part."""
    key = (path, path.stat().st_mtime_ns)
    if key not in _ETAGS:
        with path.open("rb") as file:
            _ETAGS[key] = f'"{hashlib.file_digest(file, "md5").hexdigest()}"'
    return _ETAGS[key]


_ETAGS: dict[tuple[Path, int], str] = {}
