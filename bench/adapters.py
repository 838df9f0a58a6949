"""Cost of watching 200 adapters: processor time of one scan, and of checking all of them."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nim.middleware.adapters.check_adapter import check_adapter
from nim.middleware.adapters.scan_source import scan_source
from nim.plan import AdapterPlan

DEMO = Path(__file__).resolve().parents[1] / "profiles" / "demo" / "adapters" / "pirate"
COUNT, ROUNDS = 200, 20


def main() -> None:
    with tempfile.TemporaryDirectory() as path:
        source = Path(path)
        for number in range(COUNT):
            shutil.copytree(DEMO, source / f"a{number:03}")
        plan = AdapterPlan(
            source=path,
            refresh_seconds=30,
            api_timeout_seconds=60,
            max_rank=16,
            base_names=("nim/demo",),
            name="source",
        )
        scan = milliseconds(lambda: scan_source(source, "source"))
        found = scan_source(source, "source")
        check = milliseconds(lambda: [check_adapter(one, plan) for one in found])
    print(f"{COUNT} adapters, processor time of one round (least of {ROUNDS})")
    print(f"  scan, nothing changed   {scan:7.2f} ms")
    print(f"  check of all, all new   {check:7.2f} ms")
    print(f"  share of a processor with NIM_PEFT_REFRESH_INTERVAL=30: {scan / 30_000:.4%}")


def milliseconds(work: Callable[[], object]) -> float:
    """Return the least processor time of the work in milliseconds."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times) * 1000


if __name__ == "__main__":
    main()
