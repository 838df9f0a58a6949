"""Markdown tables of the measurements. Pure."""

from collections.abc import Callable, Iterable, Sequence

from bench.gateway.figures import DIRECT, NOISE, Figure, Samples
from bench.gateway.goals import OURS, Verdict, judge
from bench.gateway.records import Record, samples_of
from bench.peers import BESIDE, FAST

TITLES = {
    DIRECT: "direct, TCP",
    NOISE: "direct again: the noise",
    **{peer.name: peer.title for peer in (*FAST, *BESIDE)},
}
STREAMS = (1, 16, 64, 256)
Cell = Callable[[Samples, str], str]


def report(record: Record) -> str:
    """Return all tables, and what went wrong."""
    samples = samples_of(record)
    parts = [
        ("JSON requests", _table(samples, JSON, _measured(samples, "json-64"))),
        ("Streams", _table(samples, EVENTS, _measured(samples, "paced-64"))),
        ("Time to the first event, above the direct path's, µs", _table(samples, FIRST, _added(samples))),
        (
            "Gaps between events 20 ms apart, above the direct path's, µs",
            _table(samples, GAPS, _added(samples)),
        ),
        ("10 MB bodies", _table(samples, BODIES, _measured(samples, "upload"))),
        ("Idle streams, memory", _table(samples, MEMORY, _measured(samples, "idle"))),
        ("Live while 64 connections keep it busy", _table(samples, LIVE, _measured(samples, "live"))),
        ("Before the real vLLM", _real(samples)),
        ("Does it do its work?", _checks(record)),
        ("Goals", _goals(samples)),
        ("Measured", _list([f"{block}: {when}" for block, when in record.about.items()])),
        ("Troubles", _list([*_absent(record), *record.troubles])),
    ]
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in parts if text) + "\n"


def number(value: float) -> str:
    """Return three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(found: Figure | None, scale: float = 1) -> str:
    """Return the median, and the distance between the quartiles."""
    if found is None:
        return "–"
    more = f" ±{number(found.spread * scale)}" if found.count > 1 else ""
    return number(found.median * scale) + more


def value(scenario: str, name: str, scale: float = 1) -> Cell:
    """Return a cell with a figure."""
    return lambda samples, target: spread(samples.figure(scenario, target, name), scale)


def added(scenario: str, name: str) -> Cell:
    """Return a cell with what a figure is above the direct path's."""
    return lambda samples, target: spread(samples.added(scenario, target, name))


def over_direct(scenario: str, name: str) -> Cell:
    return lambda samples, target: spread(samples.ratio(scenario, target, DIRECT, name))


def ours_over(scenario: str, name: str) -> Cell:
    return lambda samples, target: spread(samples.ratio(scenario, OURS, target, name))


def both(scenario: str, name: str) -> Cell:
    """Return a cell with median and p99, each above the direct path's."""

    def cell(samples: Samples, target: str) -> str:
        found = [samples.added(scenario, target, f"{name}_{quantile}") for quantile in ("p50", "p99")]
        return " / ".join(number(one.median) if one else "–" for one in found)

    return cell


JSON: dict[str, Cell] = {
    "CPU µs/request, 64 connections": value("json-64", "cpu_us"),
    "CPU of the gateway ÷ of this proxy": ours_over("json-64", "cpu_us"),
    "requests/s, one core": value("json-64", "requests_per_second"),
    "÷ direct": over_direct("json-64", "requests_per_second"),
    "added p50 / p99 at 1 connection, µs": both("json-1", "latency"),
    "added p50 / p99 at 64, µs": both("json-64", "latency"),
}
EVENTS: dict[str, Cell] = {
    "CPU µs/event, 64 streams, 20 ms": value("paced-64", "cpu_us"),
    "CPU of the gateway ÷ of this proxy": ours_over("paced-64", "cpu_us"),
    "events/s ÷ direct": over_direct("paced-64", "events_per_second"),
    "added delay p50 / p99, µs": both("paced-64", "delay"),
    "merged at 1 stream": value("tokens-1", "merged"),
}
FIRST = {f"{count} streams, p50 / p99": both(f"tokens-{count}", "first") for count in STREAMS}
GAPS = {f"{count} streams, p50 / p99": both(f"tokens-{count}", "gap") for count in STREAMS}
BODIES: dict[str, Cell] = {
    "up, ms": value("upload", "latency_p50", 1e-3),
    "upload ÷ direct": over_direct("upload", "latency_p50"),
    "up, CPU µs/MB": value("upload", "cpu_us_per_mb"),
    "down, ms": value("download", "latency_p50", 1e-3),
    "download ÷ direct": over_direct("download", "latency_p50"),
    "down, CPU µs/MB": value("download", "cpu_us_per_mb"),
}
MEMORY: dict[str, Cell] = {
    "streams held": value("idle", "streams"),
    "KiB per stream": value("idle", "bytes_per_stream", 1 / 1024),
    "at rest, MiB": value("idle", "rest_mib"),
}
LIVE: dict[str, Cell] = {
    "p50, µs": value("live", "latency_p50"),
    "p99, µs": value("live", "latency_p99"),
    "its core busy": value("live", "busy"),
}


def _measured(samples: Samples, scenario: str) -> list[str]:
    there = {sample.target for sample in samples.all if sample.scenario == scenario}
    return [name for name in TITLES if name in there]


def _added(samples: Samples) -> list[str]:
    return [name for name in _measured(samples, "tokens-1") if name != DIRECT]


def _table(samples: Samples, columns: dict[str, Cell], targets: Sequence[str]) -> str:
    if not targets:
        return ""
    rows = [[TITLES[target], *(cell(samples, target) for cell in columns.values())] for target in targets]
    return table(["", *columns], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


REAL: dict[str, Callable[[str], Cell]] = {
    "tokens/s": lambda scenario: value(scenario, "events_per_second"),
    "÷ direct": lambda scenario: over_direct(scenario, "events_per_second"),
    "to the first, p50, ms": lambda scenario: value(scenario, "first_p50", 1e-3),
    "p99": lambda scenario: value(scenario, "first_p99", 1e-3),
    "between two, p50, ms": lambda scenario: value(scenario, "gap_p50", 1e-3),
    "p99 ": lambda scenario: value(scenario, "gap_p99", 1e-3),
    "CPU µs/token": lambda scenario: value(scenario, "cpu_us"),
}


def _real(samples: Samples) -> str:
    """Return the table of the real engine: directly, through the gateway, and directly again."""
    rows = []
    for scenario in dict.fromkeys(sample.scenario for sample in samples.all if sample.block == "real"):
        transport, streams = scenario.split("-")
        for target in _measured(samples, scenario):
            cells = [make(scenario)(samples, target) for make in REAL.values()]
            who = {DIRECT: "direct", OURS: "this gateway", NOISE: "direct again"}.get(target, TITLES[target])
            rows.append([f"{transport}, {streams} streams, {who}", *cells])
    return table(["", *REAL], rows) if rows else ""


def _checks(record: Record) -> str:
    if not record.checks:
        return ""
    names = list(next(iter(record.checks.values())))
    rows = [[TITLES[peer], *(found[name] or "✔" for name in names)] for peer, found in record.checks.items()]
    return table(["", *names], rows)


def _goals(samples: Samples) -> str:
    rows = [[one.text, spread(one.figure), _wanted(one), one.word] for one in judge(samples)]
    return table(["what", "measured", "goal", ""], rows)


def _wanted(verdict: Verdict) -> str:
    more = f" (ambition {number(verdict.ambition)})" if verdict.ambition else ""
    return f"{'≥' if verdict.at_least else '≤'} {number(verdict.limit)}{more}"


def _absent(record: Record) -> list[str]:
    gone = record.missing | record.failed
    return [f"{TITLES[name]}: {' '.join(why.split())}" for name, why in gone.items()]


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
