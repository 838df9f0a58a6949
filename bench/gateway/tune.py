"""Measure the cost of each feature of the gateway's configuration, by removing it.

`python -m bench.gateway.tune` measures all variants in turns, round by round, and prints the ratio of each's
processor time to the unchanged gateway's in the same round. Three are unchanged: what differs there is noise.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench.gateway import cores, native
from bench.gateway.checks import Bench
from bench.gateway.figures import Sample, Samples
from bench.gateway.report import number, table
from bench.gateway.running import Target, running
from bench.gateway.scenarios import SCENARIOS, Failed
from bench.gateway.session import bench_at, raise_open_files, say
from bench.peers.gateway import command
from bench.peers.peer import Peer

BASE = "unchanged, median of the round"
SCENARIO_NAMES = ("json-64", "paced-64")


class Outdated(Exception):
    """A variant of something that the configuration has no more."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A name and what to replace: pairs of a regular expression and a text. Each must be found."""

    name: str
    changes: tuple[tuple[str, str], ...] = ()

    def apply(self, conf: str) -> str:
        """Return the changed configuration."""
        for pattern, replacement in self.changes:
            conf, found = re.subn(pattern, replacement, conf, flags=re.MULTILINE)
            if not found:
                raise Outdated(f"left out: nothing in the configuration matches {pattern!r}")
        return conf

    def peer(self, number: int) -> Peer:
        """Return the gateway, so changed."""
        return Peer(name=f"v{number}", title=self.name, command=partial(command, change=self.apply))


def without(pattern: str) -> tuple[str, str]:
    """Return lines that match are left out."""
    return rf"^ *{pattern}.*\n", ""


NO_LOG = (r"^    access_log .*;$", "    access_log off;")
ID_MADE = r'default ("\$connection-[^"]*");'
VARIANTS = (
    Variant("unchanged"),
    Variant("unchanged, too"),
    Variant("unchanged as well"),
    Variant("no access log", (NO_LOG,)),
    Variant("log to a file", ((r"^    access_log \S+/log/access\"", '    access_log "/dev/null"'),)),
    Variant("log buffer 64k", (("buffer=4k flush=250ms", "buffer=64k flush=1s"),)),
    Variant("log: time as nginx has it", ((r"\$logged_time gateway", "$time_iso8601 gateway"),)),
    Variant("log: request as it came", ((r"\$logged_request \$status", "$request $status"),)),
    Variant("log: no level", ((r"'\$logged_level ", "'"),)),
    Variant("no Server-Timing", (without("add_header Server-Timing"),)),
    Variant("no X-Accel-Buffering", (without("add_header X-Accel-Buffering"),)),
    Variant("no X-Request-Id returned", (without(r"add_header X-Request-Id \$nim_request_id always;"),)),
    Variant("id: random, as nginx makes it", ((ID_MADE, "default $request_id;"),)),
    Variant("id: one for all", ((ID_MADE, "default none;"),)),
    Variant("id: no expression on an empty one", ((ID_MADE, r'"" \1; default \1;'),)),
    Variant(
        "log: two variables only",
        ((r"'\$logged_level \$logged_time .*\n.*';", "'$status $nim_request_id';"),),
    ),
    Variant("no limit_conn", (without("limit_conn streams"),)),
    Variant("proxy_buffer_size 4k", (("proxy_buffer_size 16k", "proxy_buffer_size 4k"),)),
    Variant("proxy_buffer_size 8k", (("proxy_buffer_size 16k", "proxy_buffer_size 8k"),)),
    Variant("proxy_buffering on", (("proxy_buffering off", "proxy_buffering on"),)),
    Variant("no X-Accel headers ignored", (without("proxy_ignore_headers"),)),
    Variant("keepalive timers of 65 s", (("keepalive_timeout 3600s", "keepalive_timeout 65s"),)),
    Variant("multi_accept on", ((r"(worker_connections \d+;)", r"\1 multi_accept on;"),)),
    Variant("no reuseport", ((" reuseport;", ";"),)),
    Variant(
        "log: nginx's own time and request, no level",
        ((r"'\$logged_level \$logged_time gateway\] \$logged_request", "'$time_iso8601 gateway] $request"),),
    ),
    Variant(
        "Server-Timing without expressions", ((r"\$server_timing always", "$upstream_header_time always"),)
    ),
    Variant(
        "request_pool_size 8k",
        ((r"^    server_tokens off;", "    server_tokens off; request_pool_size 8k;"),),
    ),
    Variant(
        "request_pool_size 16k",
        ((r"^    server_tokens off;", "    server_tokens off; request_pool_size 16k;"),),
    ),
    Variant(
        "client_header_buffer_size 4k", (("client_header_buffer_size 16k", "client_header_buffer_size 4k"),)
    ),
    Variant(
        "client_header_buffer_size 8k", (("client_header_buffer_size 16k", "client_header_buffer_size 8k"),)
    ),
    Variant(
        "none of it: log, Server-Timing, ids, limit_conn",
        (
            NO_LOG,
            without("add_header Server-Timing"),
            without("add_header X-Accel-Buffering"),
            without(r"add_header X-Request-Id \$nim_request_id always;"),
            without(r"proxy_set_header X-Request-Id"),
            without("limit_conn streams"),
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway.tune", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--scenarios", nargs="+", default=SCENARIO_NAMES, choices=list(SCENARIOS))
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="variants with such a word")
    options = parser.parse_args(argv)
    raise_open_files()
    try:
        samples = _measure(options)
    except native.CannotMeasure as error:
        print(error, file=sys.stderr)
        return 1
    print(_table(samples, options.scenarios))
    return 0


def _measure(options: argparse.Namespace) -> Samples:
    found = []
    with tempfile.TemporaryDirectory(prefix="nimb-") as name, ExitStack() as stack:
        programs, own = native.build(Path(name)), cores.own()
        bench = stack.enter_context(bench_at(programs, own, Path(name) / "tune"))
        targets = list(_start(stack, bench, own, options.only))
        for turn, scenario, target in _turns(options.rounds, options.scenarios, targets):
            try:
                figures = SCENARIOS[scenario].run(bench, target, options.seconds)
            except Failed as error:
                say(f"{target.title}: {error}")
            else:
                found.append(_sample(target.title, scenario, turn, figures["cpu_us"]))
    return Samples.of([*found, *_bases(found)])


def _bases(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield the median of the unchanged gateways for each round and scenario."""
    unchanged = {variant.name for variant in VARIANTS if not variant.changes}
    rounds: dict[tuple[int, str], list[float]] = {}
    for sample in samples:
        if sample.target in unchanged:
            rounds.setdefault((sample.round, sample.scenario), []).append(sample.figures["cpu_us"])
    for (turn, scenario), values in rounds.items():
        yield _sample(BASE, scenario, turn, median(values))


def _start(stack: ExitStack, bench: Bench, own: cores.Cores, words: Sequence[str]) -> Iterator[Target]:
    """Yield all variants at once: one that nobody asks costs nothing."""
    for place, variant in enumerate(VARIANTS):
        if variant.changes and not any(word in variant.name for word in words):
            continue
        try:
            yield stack.enter_context(running(variant.peer(place), bench.up, own, bench.requests.folder))
        except Outdated as error:
            say(f"{variant.name}: {error}")


def _turns(
    rounds: int, scenarios: Sequence[str], targets: Sequence[Target]
) -> Iterator[tuple[int, str, Target]]:
    """Yield each round begins with another variant."""
    for turn in range(rounds):
        say(f"round {turn + 1}")
        start = turn % len(targets)
        for scenario in scenarios:
            for target in (*targets[start:], *targets[:start]):
                yield turn, scenario, target


def _sample(target: str, scenario: str, turn: int, cpu_us: float) -> Sample:
    return Sample(block="tune", round=turn, scenario=scenario, target=target, figures={"cpu_us": cpu_us})


def _table(samples: Samples, scenarios: Sequence[str]) -> str:
    there = samples.targets()
    head = ["", *(f"{scenario}: {what}" for scenario in scenarios for what in ("CPU µs", "over unchanged"))]
    rows = [
        [variant.name, *_cells(samples, scenarios, variant.name)]
        for variant in VARIANTS
        if variant.name in there
    ]
    return table(head, rows)


def _cells(samples: Samples, scenarios: Sequence[str], name: str) -> Iterator[str]:
    for scenario in scenarios:
        own = samples.figure(scenario, name, "cpu_us")
        ratio = samples.ratio(scenario, name, BASE, "cpu_us")
        yield number(own.median) if own else "–"
        yield f"{ratio.median:.3f} ±{ratio.spread:.3f}" if ratio else "–"


if __name__ == "__main__":
    sys.exit(main())
