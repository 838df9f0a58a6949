"""`make bench-gateway`: the gateway as it is shipped, the bare upstream and the others, side by side.

A mock engine behind all of them, then the real vLLM: about 30 minutes; with --quick, 8. `make bench-peers`
installs the others.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.gateway import cores
from bench.gateway.blocks import Block, blocks
from bench.gateway.native import CannotMeasure
from bench.gateway.real import BLOCKS
from bench.gateway.records import Records
from bench.gateway.report import report
from bench.gateway.session import measure, measure_engine, raise_open_files
from bench.peers import caddy, haproxy

RESULTS = Path(__file__).resolve().parents[1] / ".results" / "gateway"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what has not been measured, and print everything."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    known = {block.name: block for block in blocks(quick=options.quick)}
    records = Records(options.results)
    try:
        if not options.report:
            _measure(options, known, records)
    except CannotMeasure as error:
        print(error, file=sys.stderr)
        return 1
    text = _machine() + report(records.read([*known, *BLOCKS]))
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "table.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    names = ", ".join([*(block.name for block in blocks(quick=True)), *BLOCKS])
    parser.add_argument("--only", nargs="+", metavar="BLOCK", help=f"only these: {names}")
    parser.add_argument("--resume", action="store_true", help="keep the blocks that have been measured")
    parser.add_argument("--report", action="store_true", help="measure nothing, print the tables again")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"folder, {RESULTS} if not given")
    return parser.parse_args(argv)


def _measure(options: argparse.Namespace, known: Mapping[str, Block], records: Records) -> None:
    every = [*known, *BLOCKS]
    if unknown := set(options.only or ()) - set(every):
        raise CannotMeasure(f"cannot measure {', '.join(sorted(unknown))}: there are {', '.join(every)}")
    wanted = [name for name in every if not options.only or name in options.only]
    if not options.resume:
        records.forget(wanted)
    how = "quick" if options.quick else "full"
    raise_open_files()
    measure([block for name, block in known.items() if name in wanted], cores.own(), records, how)
    measure_engine([name for name in BLOCKS if name in wanted], records, how, quick=options.quick)


def _machine() -> str:
    """Return where this is, and which versions are compared."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(": ")[2] for line in cpus if line.startswith("model name")), "unknown CPU")
    where = f"{len(os.sched_getaffinity(0))} cores of {model}, {platform.system()} {platform.release()}"
    said = [
        _first_line("nginx", "-v"),
        _first_line(haproxy.PROGRAM.found(), "-v"),
        _first_line(caddy.PROGRAM.found(), "version"),
    ]
    return "\n".join(f"- {line}" for line in [where, *said] if line) + "\n\n"


def _first_line(program: str | None, option: str) -> str:
    try:
        done = subprocess.run([program or "", option], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    name = Path(program or "").name
    said = (done.stdout + done.stderr).partition("\n")[0].strip()
    return said if name.lower() in said.lower() else f"{name} {said}"


if __name__ == "__main__":
    sys.exit(main())
