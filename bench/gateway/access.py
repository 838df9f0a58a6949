"""Measure the processor time that API keys, limits and TLS cost a request, beside HAProxy with the same.

`python -m bench.gateway.access` measures all variants in turns, round by round, over kept-alive connections
and with a new connection for each request. Differences are to the plain variant of the same proxy and round.
"""

import argparse
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from bench.gateway import cores, native
from bench.gateway.clocks import cpu_seconds, settle
from bench.gateway.figures import Sample, Samples
from bench.gateway.report import spread, table
from bench.gateway.requests import chat
from bench.gateway.running import Target, running
from bench.gateway.session import bench_at, raise_open_files, say
from bench.peers import access
from bench.peers.peer import Peer

CONNECTIONS = 32
KEPT, NEW = "kept", "new"
Link = socket.socket


@dataclass(frozen=True, slots=True)
class Visitor:
    """Sends requests to one target from this process, whose own time is not counted."""

    target: Target
    context: ssl.SSLContext | None
    request: bytes

    def connect(self) -> Link:
        """Return a connection; with TLS, after a whole handshake."""
        host, _, port = self.target.address.rpartition(":")
        link = socket.create_connection((host, int(port)), timeout=10)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(link) if self.context else link

    def kept(self, requests: int) -> None:
        """Send requests over connections that stay open: one on each, then all answers."""
        links = [self.connect() for _ in range(CONNECTIONS)]
        for _ in range(requests // CONNECTIONS):
            for link in links:
                link.sendall(self.request)
            for link in links:
                read_answer(link)
        for link in links:
            link.close()

    def new(self, requests: int) -> None:
        """Send each request over a connection of its own."""
        for _ in range(requests):
            with closing(self.connect()) as link:
                link.sendall(self.request)
                read_answer(link)


def read_answer(link: Link) -> None:
    """Read one whole answer, whose status must be 200."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(link)
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise native.CannotMeasure(f"answered with {head.splitlines()[0]!r}")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    left = int(length) - len(body)
    while left > 0:
        left -= len(_some(link))


def _some(link: Link) -> bytes:
    data = link.recv(65536)
    if not data:
        raise native.CannotMeasure("closed within an answer")
    return data


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway.access", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=6_400, help="over kept connections; new: a tenth")
    options = parser.parse_args(argv)
    raise_open_files()
    try:
        samples = _measure(options.rounds, options.requests)
    except native.CannotMeasure as error:
        print(error, file=sys.stderr)
        return 1
    print(_tables(samples))
    return 0


def _measure(rounds: int, requests: int) -> Samples:
    with tempfile.TemporaryDirectory(prefix="nimb-") as name, ExitStack() as stack:
        programs, own = native.build(Path(name)), cores.own()
        pair = access.certificate(Path(name))
        bench = stack.enter_context(bench_at(programs, own, Path(name) / "access"))
        visitors = [
            _visitor(stack.enter_context(running(peer, bench.up, own, bench.requests.folder)))
            for peer in _there(access.peers(pair))
        ]
        return Samples.of(list(_samples(visitors, rounds, requests)))


def _there(peers: Sequence[Peer]) -> Iterator[Peer]:
    for peer in peers:
        if missing := peer.missing():
            say(f"{peer.name}: {missing}")
        else:
            yield peer


def _visitor(target: Target) -> Visitor:
    return Visitor(target, target.peer.context if target.peer else None, chat(stream=False))


def _samples(visitors: Sequence[Visitor], rounds: int, requests: int) -> Iterator[Sample]:
    """Yield each round, beginning with another variant."""
    for turn in range(rounds):
        say(f"round {turn + 1} of {rounds}")
        start = turn % len(visitors)
        for visitor in (*visitors[start:], *visitors[:start]):
            for scenario, run, count in (
                (KEPT, visitor.kept, requests),
                (NEW, visitor.new, requests // 10),
            ):
                cpu_us = _cpu_us(visitor.target, run, count)
                yield Sample(
                    block="access",
                    round=turn,
                    scenario=scenario,
                    target=visitor.target.name,
                    figures={"cpu_us": cpu_us},
                )


def _cpu_us(target: Target, run: Callable[[int], None], count: int) -> float:
    """Return the target's processor time for each request, in microseconds."""
    run(CONNECTIONS)
    settle(target.pids)
    before = cpu_seconds(target.pids)
    run(count)
    settle(target.pids)
    return (cpu_seconds(target.pids) - before) / count * 1e6


def _tables(samples: Samples) -> str:
    head = ["", "kept: CPU µs", "more than plain", "new: CPU µs", "more than plain"]
    rows = []
    for name in samples.targets():
        plain = f"{name.partition('-')[0]}-{access.PLAIN}"
        cells = [name]
        for scenario in (KEPT, NEW):
            cells.append(spread(samples.figure(scenario, name, "cpu_us")))
            cells.append(spread(samples.added(scenario, name, "cpu_us", over=plain)))
        rows.append(cells)
    return table(head, rows) + "\n\n" + _ratios(samples)


def _ratios(samples: Samples) -> str:
    """Return a table of this gateway's time over HAProxy's with the same."""
    there = samples.targets()
    rows = []
    for variant in access.VARIANTS:
        ours, theirs = f"gateway-{variant}", f"haproxy-{variant}"
        if ours in there and theirs in there:
            rows.append([variant, *(spread(samples.ratio(s, ours, theirs, "cpu_us")) for s in (KEPT, NEW))])
    return table(["gateway over HAProxy", KEPT, NEW], rows)


if __name__ == "__main__":
    sys.exit(main())
