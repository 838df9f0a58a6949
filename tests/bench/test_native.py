"""The compiled load client counts events in whatever pieces they arrive, and the mock answers as set."""

import shutil
import socket
import threading
from pathlib import Path

import pytest

from bench.gateway import native, requests
from bench.gateway.checks import Bench, check, mock, set_mock
from bench.gateway.load import Client, Load, Reading
from bench.gateway.running import Target, post

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENTS = b"event: named\ndata: @000001 \n\ndata: @000002 \n\n", b"data: @00", b"0003 \n\ndata: [DONE]\n\n"
STREAM = HEAD + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in EVENTS) + b"0\r\n\r\n"


def answered(
    programs: native.Programs, folder: Path, answer: bytes, piece: int, *, every_event: bool = False
) -> Reading:
    """Return what the client reports of one answer in pieces of this size."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server, answer, piece))
        thread.start()
        target = Target(name="one", title="", address=f"127.0.0.1:{server.getsockname()[1]}")
        load = Load(
            request=requests.Requests(folder).stream(), warm_seconds=0, seconds=2, every_event=every_event
        )
        reading = Client(programs=programs, cores=None).run(target, load)
        thread.join()
    return reading


def _answer(server: socket.socket, answer: bytes, piece: int) -> None:
    link, _ = server.accept()
    with link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.recv(65536)
        for start in range(0, len(answer), piece):
            link.sendall(answer[start : start + piece])
        while link.recv(65536):  # the next request, until the client has seen enough
            pass


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_events_are_counted_in_whatever_pieces_they_come(
    programs: native.Programs, tmp_path: Path, piece: int
) -> None:
    reading = answered(programs, tmp_path, STREAM, piece)
    assert (reading.events, reading.requests, reading.errors) == (3, 1, 0)
    if piece == 10_000:
        assert reading.merged == 2


def test_every_event_is_counted_where_none_carries_a_time(programs: native.Programs, tmp_path: Path) -> None:
    assert answered(programs, tmp_path, STREAM, 7, every_event=True).events == 4


def test_an_error_is_an_error(programs: native.Programs, tmp_path: Path) -> None:
    reading = answered(programs, tmp_path, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 10_000)
    assert reading.requests == 0
    assert reading.errors >= 1
    assert "503" in reading.error


def test_the_mock_does_its_work(bench: Bench) -> None:
    direct = bench.up.direct()
    found = check(bench, direct)
    found.pop("events one by one")  # a matter of speed, on a busy machine
    assert set(found.values()) == {""}


def test_the_mock_reads_a_body_in_chunks(bench: Bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.up.port)) as link:
        link.sendall(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
        )
        assert b'"prompt_tokens":          5,' in link.recv(65536)


def test_the_mock_answers_with_as_much_as_it_is_told_to(bench: Bench) -> None:
    set_mock(bench.up, answer_bytes=1_000_000)
    status, said = post(bench.up.direct(), b"{}")
    assert (status, len(said)) == (200, 1_000_000)
    assert mock(bench.up, "/_stats")["requests"] == 1


def test_streams_are_held_and_left(bench: Bench) -> None:
    set_mock(bench.up, interval_us=3_600_000_000, events=2)
    load = Load(request=bench.requests.stream(), connections=100, seconds=30, hold=True)
    process = bench.client.start(bench.up.direct(), load)
    assert process.stdout
    assert process.stdout.readline() == '{"held":100,"error":""}\n'
    assert mock(bench.up, "/_stats")["streams"] == 100
    process.communicate(timeout=30)
