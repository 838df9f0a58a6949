"""The engine without the gateway: its own answers, and the number of connections to it."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from nim.plan import ENGINE_SOCKET
from tests.e2e.conftest import Service

pytestmark = pytest.mark.engine

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
HELLO = {"model": "nim/demo", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello!"}]}
# What the engine refuses, each in its own way.
REFUSED = {
    "unknown model": ("POST", CHAT, json.dumps(HELLO | {"model": "none"})),
    "unknown model, streamed": ("POST", CHAT, json.dumps(HELLO | {"model": "none", "stream": True})),
    "no JSON": ("POST", CHAT, "{"),
    "nothing": ("POST", CHAT, ""),
    "no messages": ("POST", CHAT, json.dumps({"model": "nim/demo"})),
    "bad temperature": ("POST", CHAT, json.dumps(HELLO | {"temperature": -1})),
    "too many tokens": ("POST", CHAT, json.dumps(HELLO | {"max_tokens": 10_000_000})),
    "messages without a limit": ("POST", MESSAGES, json.dumps({"model": "nim/demo", "messages": []})),
    "messages of an unknown model": ("POST", MESSAGES, json.dumps(HELLO | {"model": "none"})),
    "unknown response": ("GET", "/v1/responses/resp_none", ""),
    "wrong method": ("GET", CHAT, ""),
}


class Behind(http.client.HTTPConnection):
    """Straight to the engine, past the gateway."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def asked(
    connection: http.client.HTTPConnection, method: str, path: str, body: str, origin: str = "http://a.test"
) -> tuple[object, ...]:
    """Return what a client is told."""
    connection.request(method, path, body, {"Content-Type": "application/json", "Origin": origin})
    answer = connection.getresponse()
    names = ("content-type", "content-length", "allow", "access-control-allow-origin")
    told = (answer.status, *(answer.headers.get_all(name) for name in names), answer.read())
    connection.close()
    return told


@pytest.mark.parametrize("case", REFUSED)
def test_the_engines_errors_pass_byte_for_byte(service: Service, case: str) -> None:
    straight = asked(Behind(service.run_dir / ENGINE_SOCKET), *REFUSED[case])
    through = asked(http.client.HTTPConnection("127.0.0.1", service.port, timeout=60), *REFUSED[case])
    assert isinstance(straight[0], int)
    assert 400 <= straight[0] < 500
    assert through == straight


def test_a_page_of_this_machine_may_read_answers_of_all_three_and_others_none(service: Service) -> None:
    for path in ("/v1/models", "/v1/metadata", "/v1/nothing", "/v1/health/ready"):
        for origin, expected in (
            ("http://localhost:3000", ["http://localhost:3000"]),
            ("http://a.test", None),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
            assert asked(connection, "GET", path, "", origin)[4] == expected, path


@contextmanager
def counting(path: Path) -> Iterator[list[Path]]:
    """Yield a list with an entry for each connection made to a socket meanwhile."""
    aside, place, made = path.with_name("aside.sock"), path.with_name("place.sock"), list[Path]()
    aside.hardlink_to(path)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(place))
        door.listen(64)
        thread = threading.Thread(target=_lead, args=(door, aside, made))
        thread.start()
        place.rename(path)
        try:
            yield made
        finally:
            aside.rename(path)
            door.shutdown(socket.SHUT_RDWR)
            thread.join()


def _lead(door: socket.socket, behind: Path, made: list[Path]) -> None:
    with suppress(OSError):  # the door is shut
        while True:
            front, _ = door.accept()
            made.append(behind)
            threading.Thread(target=_forward, args=(front, behind), daemon=True).start()


def _forward(front: socket.socket, behind: Path) -> None:
    with front, socket.socket(socket.AF_UNIX) as back:
        back.connect(str(behind))
        other_way = threading.Thread(target=_copy, args=(back, front), daemon=True)
        other_way.start()
        _copy(front, back)
        other_way.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # whoever closes first
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def test_connections_to_the_engine_are_used_again(service: Service) -> None:
    """Of the launcher and the middleware there may be some, too; one for each request would be fifty."""
    with counting(service.run_dir / ENGINE_SOCKET) as made:
        for _ in range(50):
            assert service.get("/v1/models")[0] == 200
    assert len(made) < 25
