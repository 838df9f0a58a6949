"""Measure whether the time of an answer tells a right API key from a wrong one.

`python -m bench.gateway.key_timing` sends requests with right, wrong and absent keys in random order over one
connection. nginx answers all of them itself, right ones too: the route does not take their method, which is
checked after the key. Printed is how far each kind's median is above that of wrong keys, block by block.
"""

import argparse
import random
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median, stdev

from bench.gateway import cores, native
from bench.gateway.report import table
from bench.gateway.running import Target, running
from bench.gateway.session import bench_at
from bench.peers import access
from bench.peers.peer import KEY

BLOCKS = 40
READ_ONLY = "/v1/metadata"
SIGMAS = 3.0
"""Standard errors beyond which a difference counts as one."""
NOISE, WRONG = "wrong again: the noise", "wrong"
KEYS: dict[str, str | None] = {
    WRONG: "x" * len(KEY),
    NOISE: "x" * len(KEY),
    "right": KEY,
    "wrong in its last character": f"{KEY[:-1]}x",
    "wrong in its first character": f"x{KEY[1:]}",
    "absent": None,
}
Blocks = Mapping[str, Sequence[float]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway.key_timing", description=__doc__)
    parser.add_argument("--requests", type=int, default=500, help="of each kind in each of 40 blocks")
    options = parser.parse_args(argv)
    try:
        print(_table(_measure(options.requests)))
    except native.CannotMeasure as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _measure(requests: int) -> Blocks:
    """Return the median of each block in nanoseconds, for each kind of key."""
    with tempfile.TemporaryDirectory(prefix="nimb-") as name, ExitStack() as stack:
        programs, own = native.build(Path(name)), cores.own()
        bench = stack.enter_context(bench_at(programs, own, Path(name) / "timing"))
        [peer] = [
            peer for peer in access.peers(access.certificate(Path(name))) if peer.name == "gateway-keys"
        ]
        target = stack.enter_context(running(peer, bench.up, own, bench.requests.folder))
        return _ask(target, requests)


def _ask(target: Target, requests: int) -> Blocks:
    host, _, port = target.address.rpartition(":")
    found: dict[str, list[float]] = {kind: [] for kind in KEYS}
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(BLOCKS):
            times: dict[str, list[int]] = {kind: [] for kind in KEYS}
            order = [kind for kind in KEYS for _ in range(requests)]
            random.shuffle(order)
            for kind in order:
                times[kind].append(_time(link, _request(KEYS[kind]), 405 if kind == "right" else 401))
            for kind, values in times.items():
                found[kind].append(median(values))
    return found


def _request(key: str | None) -> bytes:
    lines = [
        f"POST {READ_ONLY} HTTP/1.1",
        "Host: localhost",
        *([f"Authorization: Bearer {key}"] if key else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _time(link: socket.socket, request: bytes, status: int) -> int:
    """Return the nanoseconds until the answer is there; it must have this status."""
    began_at = time.perf_counter_ns()
    link.sendall(request)
    answer = link.recv(65536)
    took = time.perf_counter_ns() - began_at
    if not answer.startswith(b"HTTP/1.1 %d" % status) or not answer.endswith(b"}"):
        raise native.CannotMeasure(f"expected {status} in one piece: {answer[:200]!r}")
    return took


def _table(blocks: Blocks) -> str:
    rows = []
    for kind, values in blocks.items():
        apart = [one - other for one, other in zip(values, blocks[WRONG], strict=True)]
        error = stdev(apart) / len(apart) ** 0.5
        said = "–" if kind == WRONG else ("yes" if abs(mean(apart)) > SIGMAS * error else "no")
        rows.append([kind, f"{median(values) / 1e3:.2f}", f"{mean(apart):+.0f} ±{error:.0f}", said])
    return table(["key", "median µs", "above wrong, ns", f"beyond {SIGMAS:.0f} standard errors"], rows)


if __name__ == "__main__":
    sys.exit(main())
