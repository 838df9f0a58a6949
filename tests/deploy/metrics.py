"""Names of the service's metrics. `python -m tests.deploy.metrics URL` records those of a service."""

import re
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from nim.engine import load_options
from nim.middleware.gpu_usage import GpuReading
from nim.middleware.metrics import joined, of_gpus

RECORDED = Path(__file__).with_name("metrics.txt")
# What queries can ask for beside the family's own name.
SERIES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
OURS = re.compile(r"(?:vllm:|nim_|http_)")
GPU = GpuReading(
    index=0,
    uuid="GPU-0",
    name="a GPU",
    utilization_ratio=0.5,
    memory_used_bytes=1,
    memory_total_bytes=2,
    power_watts=300.0,
    temperature_celsius=60.0,
)


def names(text: str) -> set[str]:
    """Return every name that a query can find, of the engine's, of its HTTP server's and of ours."""
    found = set()
    for line in text.splitlines():
        if match := re.fullmatch(r"# TYPE (\S+) (\w+)", line):
            name, kind = match.groups()
            found |= {name + suffix for suffix in SERIES.get(kind, ("",))}
    return {name for name in found if OURS.match(name) and not name.endswith("_created")}


def of_gpu() -> set[str]:
    """Return what a machine with GPUs adds; a driver that tells everything is assumed."""
    return names(joined(None, list(of_gpus([GPU]))).decode())


def recorded() -> set[str]:
    """Return what the real service had when it was asked."""
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def page(found: set[str]) -> Iterator[str]:
    """Yield the file's lines."""
    yield f"# vLLM {load_options().version}, the demo model, one request answered; written by"
    yield "# python -m tests.deploy.metrics URL"
    yield from sorted(found)


def main(url: str) -> None:
    with urllib.request.urlopen(f"{url}/v1/metrics", timeout=30) as answer:
        found = names(answer.read().decode())
    RECORDED.write_text("".join(f"{line}\n" for line in page(found)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
