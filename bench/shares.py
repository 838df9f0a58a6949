"""Whether gateway and engine each get their share of a CPU: requests/s beside the engine asked directly.

`python -m bench.shares` starts the demo model. In alternating rounds, 1, 8 and 64 clients ask the engine
through the gateway, then directly by its socket; a probe asks for live every 20 ms meanwhile.
"""

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from bench.gateway.figures import DIRECT
from bench.gateway.goals import OURS
from bench.gateway.load import Client, Load, Reading
from bench.gateway.native import build
from bench.gateway.real import MODEL, engine_targets
from bench.gateway.report import table
from bench.gateway.requests import Requests, chat
from bench.gateway.running import Target

CLIENTS = (1, 8, 64)
TOKENS = 8
PROBE_PAUSE_US = 20_000
WARM_SECONDS = 1.0


def main() -> None:
    """Measure and print a table: medians of all rounds, and the lowest and highest round."""
    parser = argparse.ArgumentParser(prog="python -m bench.shares", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each measurement")
    options = parser.parse_args()
    rates, probes = _measure(options.rounds, options.seconds)
    rows = []
    for clients in CLIENTS:
        ratios = [
            ours / direct for ours, direct in zip(rates[clients, OURS], rates[clients, DIRECT], strict=True)
        ]
        rows.append(
            [
                str(clients),
                _spread(rates[clients, OURS], "{:.1f}"),
                _spread(rates[clients, DIRECT], "{:.1f}"),
                _spread(ratios, "{:.2f}"),
                _spread(probes[clients, OURS], "{:.1f}"),
                _spread(probes[clients, DIRECT], "{:.1f}"),
            ]
        )
    head = ["clients", "requests/s, gateway", "direct", "ratio", "live p99, ms", "live p99, asked directly"]
    print(table(head, rows))


Figures = dict[tuple[int, str], list[float]]


def _measure(rounds: int, seconds: float) -> tuple[Figures, Figures]:
    """Return requests/s and live's p99 in ms of each round, by number of clients and target."""
    rates: Figures = defaultdict(list)
    probes: Figures = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="nims-") as name:
        folder = Path(name)
        client, requests = Client(programs=build(folder), cores=None), Requests(folder)
        with engine_targets("unix", folder) as targets:
            known = {target.name: target for target in targets}
            for turn in range(rounds):
                for clients in CLIENTS:
                    for target in (OURS, DIRECT) if turn % 2 else (DIRECT, OURS):
                        crowd, probe = _asked(client, known[target], known[OURS], requests, clients, seconds)
                        rates[clients, target].append(crowd.requests / crowd.seconds)
                        probes[clients, target].append(probe.quantiles("latency")["latency_p99"] / 1e3)
                        print(json.dumps([turn, clients, target, rates[clients, target][-1], probe.errors]))
    return rates, probes


def _asked(
    client: Client, target: Target, gateway: Target, requests: Requests, clients: int, seconds: float
) -> tuple[Reading, Reading]:
    """Return what the clients saw, and what the probe of the gateway's live route saw meanwhile."""
    body = chat(stream=False, prompt="Hello!", model=MODEL, max_tokens=TOKENS, ignore_eos=True)
    crowd = Load(
        request=requests.file("chat", body), connections=clients, warm_seconds=WARM_SECONDS, seconds=seconds
    )
    live = Load(
        request=requests.get("/v1/health/live"),
        warm_seconds=WARM_SECONDS,
        seconds=seconds,
        pause_us=PROBE_PAUSE_US,
    )
    process = client.start(target, crowd)
    probe = client.run(gateway, live)
    return client.finish(process, crowd), probe


def _spread(values: list[float], shape: str) -> str:
    """Return the median, and the lowest and highest value."""
    return (
        f"{shape.format(statistics.median(values))} ({shape.format(min(values))}–{shape.format(max(values))})"
    )


if __name__ == "__main__":
    main()
