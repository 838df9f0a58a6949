"""`python -m bench.proxy`: measure each router in turn, several rounds, and print one table of medians."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.gateway.cores import own
from bench.gateway.native import Programs, build
from bench.gateway.requests import chat
from bench.gateway.running import _process, _until, listens
from bench.gateway.session import raise_open_files
from bench.proxy.routers import ROUTERS, Router, routing
from bench.service import free_port

SIZES = {"1 KB": 1_000, "100 KB": 100_000}
EVENTS, INTERVAL_US, STREAMS = 50, 20_000, 32
Figures = dict[str, float]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.proxy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names that contain one of these words")
    options = parser.parse_args()
    raise_open_files()
    wanted = [one for one in ROUTERS if not options.only or any(word in one.name for word in options.only)]
    results: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="nimp-") as name:
        folder = Path(name)
        programs = build(folder)
        for number in range(options.rounds):
            for router in _installed(wanted):
                print(f"round {number + 1}: {router.name}", file=sys.stderr, flush=True)
                try:
                    figures = measure(router, programs, folder / f"{number}-{router.name.replace(' ', '-')}")
                except RuntimeError as error:
                    print(f"{router.name}: cannot measure it: {error}"[:1500], file=sys.stderr)
                    continue
                for key, value in figures.items():
                    results[router.name][key].append(value)
    print(table(results))
    return 0


def _installed(routers: Sequence[Router]) -> list[Router]:
    """Return those that are installed; say what to type for the others."""
    found = []
    for router in routers:
        missing = router.packages.missing() if router.packages else None
        if missing:
            print(f"{router.name}: {missing}", file=sys.stderr)
        else:
            found.append(router)
    return found


def measure(router: Router, programs: Programs, folder: Path) -> Figures:
    """Return {what: figure} of one router and one round, each model in turn."""
    cores = own()
    folder.mkdir()
    with ExitStack() as stack:
        replicas: dict[str, list[int]] = {"a": [], "b": []}
        for ports in replicas.values():
            for _ in range(2):
                port = free_port()
                argv = ["taskset", "-c", str(cores.client), str(programs.mock), "--port", str(port)]
                process = stack.enter_context(_process(argv, {}, folder / "mock.log"))
                _until(partial(listens, port), process, folder / "mock.log")
                ports.append(port)
        direct = f"127.0.0.1:{replicas['a'][0]}"
        port, pids = stack.enter_context(routing(router, replicas, cores.gateway, folder / "router"))
        target = f"127.0.0.1:{port}"
        models = ["b", "a"] if router.models else ["a"]
        figures: Figures = {}
        for label, size in SIZES.items():
            files = [_request(folder, model, size) for model in models]
            readings = [_load(programs, cores.client, target, file, pids, 16) for file in files]
            requests = sum(one["requests"] for one in readings)
            figures[f"CPU µs per request, {label}"] = sum(_cpu(one) for one in readings) / requests
            if any(one["errors"] for one in readings):
                raise RuntimeError(f"{router.name}: {readings}")
            alone = _load(programs, cores.client, target, files[0], pids, 1)
            bare = _load(programs, cores.client, direct, files[0], (), 1)
            figures[f"added p50 µs, 1 connection, {label}"] = alone["latency"]["p50"] - bare["latency"]["p50"]
        stream = _request(folder, models[0], 1_000, stream=True)
        reading = _load(programs, cores.client, target, stream, pids, STREAMS, seconds=3.0)
        figures["CPU µs per event, 32 streams"] = _cpu(reading) / max(reading["events"], 1)
        return figures


def _cpu(reading: dict[str, object]) -> float:
    """Return the processor time of all watched processes, in microseconds."""
    values = reading["cpu_us"]
    assert isinstance(values, list)
    return float(sum(values))


def _request(folder: Path, model: str, size: int, *, stream: bool = False) -> Path:
    """Return a file with a request of about this many bytes."""
    path = folder / f"{model}-{size}-{stream}.request"
    path.write_bytes(chat(stream=stream, prompt="The sea, the wind.\\n " * (size // 22), model=model))
    return path


def _load(
    programs: Programs,
    core: int,
    target: str,
    file: Path,
    pids: Sequence[int],
    connections: int,
    seconds: float = 2.0,
) -> Any:
    """Return what the load client says."""
    argv = ["taskset", "-c", str(core), str(programs.client), target, str(file)]
    argv += ["-c", str(connections), "-w", "0.5", "-t", str(seconds)]
    argv += ["-p", ",".join(map(str, pids))] if pids else []
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env=dict(os.environ))
    return json.loads(done.stdout)


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Return the medians as a Markdown table, a row for each figure."""
    names = list(results)
    keys = list(dict.fromkeys(key for figures in results.values() for key in figures))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for key in keys:
        cells = [
            f"{statistics.median(results[name][key]):.1f}" if results[name][key] else "–" for name in names
        ]
        lines.append(f"| {key} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
