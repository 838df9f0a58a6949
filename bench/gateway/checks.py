"""Check that a target works correctly, so that none wins by merging events or ignoring disconnects."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.gateway import requests
from bench.gateway.load import Client, Load
from bench.gateway.running import ANSWER_SECONDS, Target, Upstream, post

NOTICED_SECONDS = 1.0
WAIT_SECONDS = 5.0
# A busy machine merges events now and then, a target that holds them back always does.
ATTEMPTS = 3
SILENCE_US = 3_600_000_000


def mock(up: Upstream, path: str) -> Any:
    """Return the mock's answer to a control request, sent to it directly."""
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=ANSWER_SECONDS)
    connection.request("GET", path)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def set_mock(up: Upstream, *, interval_us: int = 20_000, events: int = 50, answer_bytes: int = 600) -> None:
    """Set how the mock answers from now on."""
    mock(up, f"/_set?interval_us={interval_us}&events={events}&answer_bytes={answer_bytes}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a check or a measure works with."""

    up: Upstream
    client: Client
    requests: requests.Requests


def right(bench: Bench, target: Target) -> str:
    """Return the answer arrives as it was sent."""
    set_mock(bench.up)
    body = requests.chat(stream=False).partition(b"\r\n\r\n")[2]
    status, said = post(target, body)
    if status != 200:
        return f"status {status}"
    choice = json.loads(said)["choices"][0]
    if choice["finish_reason"] != "stop" or set(choice["message"]["content"]) != {"a"}:
        return "another text"
    return ""


def one_by_one(bench: Bench, target: Target) -> str:
    """Return no two events of one stream arrive together."""
    set_mock(bench.up, events=50)
    load = Load(request=bench.requests.stream(), seconds=1.1, warm_seconds=0)
    said = ""
    for _ in range(ATTEMPTS):
        reading = bench.client.run(target, load)
        if reading.errors or reading.events < 25:
            return f"{reading.events} events in {reading.seconds:.1f} s; {reading.error}"
        if not reading.merged:
            return ""
        said = f"{reading.merged} of {reading.events} merged"
    return said


def leaves_busy(bench: Bench, target: Target) -> str:
    """Return a client that leaves in the middle of a stream is noticed upstream within a second."""
    return _leaves(bench, target, interval_us=20_000)


def leaves_silent(bench: Bench, target: Target) -> str:
    """Return the same while the engine says nothing."""
    return _leaves(bench, target, interval_us=SILENCE_US)


def _leaves(bench: Bench, target: Target, *, interval_us: int) -> str:
    set_mock(bench.up, interval_us=interval_us, events=100_000)
    before = mock(bench.up, "/_stats")["aborted"]
    with _streaming(target):
        pass
    left_at = time.monotonic()
    while mock(bench.up, "/_stats")["aborted"] == before:
        if time.monotonic() - left_at > WAIT_SECONDS:
            return f"not noticed in {WAIT_SECONDS:.0f} s"
        time.sleep(0.005)
    took = time.monotonic() - left_at
    return f"after {took:.1f} s" if took > NOTICED_SECONDS else ""


@contextmanager
def _streaming(target: Target) -> Iterator[None]:
    """Yield a stream of which the first event has come."""
    host, _, port = target.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS) as link:
        link.sendall(requests.chat(stream=True))
        seen = b""
        while b"data:" not in seen:
            piece = link.recv(65536)
            if not piece:
                raise ConnectionError("closed within an answer")
            seen += piece
        yield


def big_body(bench: Bench, target: Target) -> str:
    """Return ten megabytes arrive, and arrive whole."""
    set_mock(bench.up)
    body = bench.requests.big().read_bytes().partition(b"\r\n\r\n")[2]
    status, said = post(target, body)
    if status != 200:
        return f"status {status}"
    arrived = json.loads(said)["usage"]["prompt_tokens"]
    return "" if arrived >= requests.BIG_BYTES else f"{arrived} bytes arrived"


CHECKS: dict[str, Callable[[Bench, Target], str]] = {
    "right answer": right,
    "events one by one": one_by_one,
    "leaving a busy stream": leaves_busy,
    "leaving a silent one": leaves_silent,
    "10 MB body": big_body,
}


def check(bench: Bench, target: Target) -> dict[str, str]:
    """Return each check's complaint, "" where there is none."""
    found = {}
    for name, run in CHECKS.items():
        try:
            found[name] = run(bench, target)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found
