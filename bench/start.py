"""`make bench`: start-up and memory of the service, against the bare engine in the same run.

Prints a table of medians. Nothing is asserted: the figures go to docs/performance.md, with the machine.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.service import bare_engine, children, pss_kib, service

EXEC_PROBE = """
import sys, time
open({path!r}, 'w').write(str(time.monotonic()))
time.sleep(600)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of the quick measures")
    parser.add_argument(
        "--engine-rounds", type=int, default=3, help="of starts with the real engine, 0 for none"
    )
    parser.add_argument("--model", help="a model's directory to start with instead of the demo")
    parser.add_argument("--cold", action="store_true", help="drop the page cache before each start; as root")
    parser.add_argument("--first", action="store_true", help="start with empty caches each time")
    options = parser.parse_args()
    print("| measure | median | rounds |\n|---|---|---|")
    lives, execs = zip(*[quick_start() for _ in range(options.rounds)], strict=True)
    row("start to first 200 on live, s", lives)
    row("start to the engine's exec, s", execs)
    if options.engine_rounds:
        with_engine(options)


def row(name: str, seconds: "tuple[float, ...] | list[float]") -> None:
    """Print one line of the table."""
    spread = " ".join(f"{value:.3f}" for value in seconds)
    print(f"| {name} | {statistics.median(seconds):.3f} | {spread} |", flush=True)


def quick_start() -> tuple[float, float]:
    """Return one start with a program in the engine's place that only writes down when it began."""
    probe = Path("/tmp") / f"nim-bench-{time.monotonic_ns()}"
    script = probe.with_suffix(".py")
    script.write_text(EXEC_PROBE.format(path=str(probe)))
    try:
        with service({"NIM_ENGINE_COMMAND": f"{sys.executable} -I -S {script}"}) as running:
            live = running.wait_for("/v1/health/live")
            while not probe.exists() or not probe.read_text():
                time.sleep(0.002)
            return live, float(probe.read_text()) - running.started_at
    finally:
        script.unlink()
        probe.unlink(missing_ok=True)


def with_engine(options: argparse.Namespace) -> None:
    """Measure the time to ready with and without the service around the real engine, and its memory."""
    served, bare, memory = [], [], []
    env = {"NIM_MODEL_PATH": options.model} if options.model else {}
    for number in range(options.engine_rounds):
        with TemporaryDirectory() as cache, prepared(options):
            own = {"NIM_CACHE_PATH": cache} if options.first else {}
            with service(env | own) as running:
                served.append(running.wait_for("/v1/health/ready", poll_seconds=0.1))
                time.sleep(5)
                memory.append(own_pss_mib(running.process.pid))
                plan = json.loads((running.run_dir / "plan.json").read_text())
        if number == 0 and not options.first:
            continue  # compiled for both
        with TemporaryDirectory() as cache, prepared(options):
            bare.append(bare_start(plan["engine"], cache if options.first else None))
    row("start to ready, service, s", served[len(served) - len(bare) :])
    row("start to ready, bare engine, s", bare)
    row("everything but the engine, PSS, MiB", memory)


def bare_start(engine: dict[str, Any], cache: str | None) -> float:
    """Return the seconds until the bare engine answers, with the service's arguments and its own environment."""
    uds = f"/tmp/nim-bench-{time.monotonic_ns()}.sock"
    argv = [uds if word == engine["socket"] else word for word in engine["argv"]]
    own = {"VLLM_CPU_KVCACHE_SPACE": engine["env"].get("VLLM_CPU_KVCACHE_SPACE", "4")}
    own |= {"VLLM_CACHE_ROOT": cache, "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor"} if cache else {}
    with bare_engine(argv, own, uds) as running:
        seconds = running.wait_for("/health", poll_seconds=0.1)
    Path(uds).unlink(missing_ok=True)
    return seconds


@contextmanager
def prepared(options: argparse.Namespace) -> Iterator[None]:
    """Drop the page cache if that was asked for."""
    if options.cold:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    yield


def own_pss_mib(pid: int) -> float:
    """Return the whole tree without the engine's."""
    tree = [pid, *children(pid)]
    engine = {child for top in tree if is_engine(top) for child in [top, *children(top)]}
    return sum(pss_kib(member) for member in tree if member not in engine) / 1024


def is_engine(pid: int) -> bool:
    """Return whether the process is vLLM's API server."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return b"\0serve\0" in command and (b"vllm" in command or b"run_vllm_cpu" in command)


if __name__ == "__main__":
    main()
