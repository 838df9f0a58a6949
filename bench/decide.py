"""`make bench`: CPU and wall time of whole `nim` commands, as medians."""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.service import ROOT, free_port

PROFILE = """
  - id: "{id:064x}"
    tags: {{llm_engine: vllm, precision: {precision}, tp: "{tp}", pp: "1", gpu: {gpu}, profile: {goal}}}
    engine: {{args: {{max-num-seqs: {id}}}}}
"""
HEAD = """schema_version: 2.0.0
model: {name: bench/many, source: "hf://bench/many", parameters: {total_billions: 8}}
profiles:"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.decide", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    ultra = {"NIM_MODEL_NAME": "nvidia/nemotron-3-ultra-550b-a55b"}
    print("| command | CPU s, median | wall s, median |\n|---|---|---|")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as many:
        many.write(manifest_of(200))
        many.flush()
        report("python -c pass", [sys.executable, "-c", "pass"], {}, rounds)
        report("nim plan --gpus 2xB200 --json", nim("plan", "--gpus", "2xB200", "--json"), ultra, rounds)
        named = {"NIM_MANIFEST_PATH": many.name}
        report("nim plan --gpus 8xH200, 200 profiles", nim("plan", "--gpus", "8xH200"), named, rounds)
        wrong = {"NIM_SERVER_PORT": str(free_port()), "NIM_PASSTHROUGH_ARGS": "--max-modle-len 8"}
        report("nim serve with a wrong flag", nim("serve"), wrong, rounds)


def nim(*words: str) -> list[str]:
    """Return the command as a user types it."""
    return [str(ROOT / "entrypoint.sh"), *words]


def report(name: str, argv: Sequence[str], env: dict[str, str], rounds: int) -> None:
    """Print one line of the table."""
    figures = [once(argv, env) for _ in range(rounds)]
    cpu, wall = (statistics.median(column) for column in zip(*figures, strict=True))
    print(f"| {name} | {cpu:.3f} | {wall:.3f} |", flush=True)


def once(argv: Sequence[str], env: dict[str, str]) -> tuple[float, float]:
    """Return CPU and wall seconds of one run."""
    before, started_at = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(argv, env={**os.environ, **env}, capture_output=True, check=False, cwd=ROOT)
    wall, after = time.monotonic() - started_at, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def manifest_of(count: int) -> str:
    """Return a manifest of this many profiles, all different."""
    precisions, goals, gpus = (
        ("bf16", "fp8", "nvfp4", "int4"),
        ("latency", "throughput"),
        ("H100", "H200", "B200"),
    )
    rows = [
        PROFILE.format(
            id=number + 1,
            precision=precisions[number % 4],
            goal=goals[number % 2],
            gpu=gpus[number % 3],
            tp=2 ** (number % 4),
        )
        for number in range(count)
    ]
    text = HEAD + "".join(rows)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as draft:
        Path(draft.name).write_text(text)
        from nim.manifest.profile_ids import write_ids

        write_ids(Path(draft.name))
        return Path(draft.name).read_text()


if __name__ == "__main__":
    main()
