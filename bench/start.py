"""`make bench`: start-up and memory of the service, against the bare engine in the same run.

Prints a table of medians. Nothing is asserted: the figures go to docs/performance.md, with the machine.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

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
    options = parser.parse_args()
    print("| measure | median | rounds |\n|---|---|---|")
    lives, execs = zip(*[quick_start() for _ in range(options.rounds)], strict=True)
    row("start to first 200 on live, s", lives)
    row("start to the engine's exec, s", execs)
    if options.engine_rounds:
        with_engine(options.engine_rounds)


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


def with_engine(rounds: int) -> None:
    """Measure the time to ready with and without the service around the real engine, and its memory."""
    served, bare, memory = [], [], []
    for _ in range(rounds):
        with service({}) as running:
            served.append(running.wait_for("/v1/health/ready"))
            time.sleep(5)
            memory.append(house_pss_mib(running.process.pid))
            plan = json.loads((running.run_dir / "plan.json").read_text())
        uds = f"/tmp/nim-bench-{time.monotonic_ns()}.sock"
        argv = [uds if word == plan["engine"]["socket"] else word for word in plan["engine"]["argv"]]
        with bare_engine(argv, plan["engine"]["env"], uds) as running:
            bare.append(running.wait_for("/health"))
        Path(uds).unlink(missing_ok=True)
    row("start to ready, service, s", served)
    row("start to ready, bare engine, s", bare)
    row("the service's ready later by, s", [s - b for s, b in zip(served, bare, strict=True)])
    row("everything but the engine, PSS, MiB", memory)


def house_pss_mib(pid: int) -> float:
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
