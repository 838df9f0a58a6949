"""A whole run, block after block; each is stored when complete, so that a run can be resumed."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.gateway import native, real
from bench.gateway.blocks import MAIN, Block
from bench.gateway.checks import Bench, check
from bench.gateway.cores import Cores
from bench.gateway.figures import DIRECT, NOISE, Sample
from bench.gateway.goals import OURS
from bench.gateway.load import Client
from bench.gateway.records import Record, Records
from bench.gateway.requests import Requests
from bench.gateway.running import Target, running, upstream
from bench.gateway.scenarios import SCENARIOS, Failed
from bench.peers.peer import Peer


def say(text: str) -> None:
    """Print progress to stderr, apart from the tables."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def raise_open_files() -> None:
    """Raise the limit of open files as far as allowed; started programs inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def measure(blocks: Sequence[Block], cores: Cores, records: Records, how: str) -> None:
    """Measure every block that has no record yet."""
    with _programs() as (programs, folder):
        for block in _new([block.name for block in blocks], records):
            [found] = [one for one in blocks if one.name == block]
            with bench_at(programs, cores, folder / block) as bench:
                record = _measure(bench, found, cores)
            _keep(records, block, record, how)


def measure_engine(blocks: Sequence[str], records: Records, how: str, *, quick: bool) -> None:
    """Measure with the real engine, unless there is a record."""
    with _programs() as (programs, folder):
        for block in _new(blocks, records):
            say(f"{block}: the real engine starts")
            (folder / block).mkdir()
            record = real.measure_real(programs, folder / block, block.removeprefix("real-"), quick=quick)
            _keep(records, block, record, how)


@contextmanager
def _programs() -> Iterator[tuple[native.Programs, Path]]:
    with tempfile.TemporaryDirectory(prefix="nimb-") as name:
        folder = Path(name)
        yield native.build(folder), folder


def _new(names: Sequence[str], records: Records) -> Iterator[str]:
    for name in names:
        if records.has(name):
            say(f"{name}: measured before")
        else:
            yield name


def _keep(records: Records, block: str, record: Record, how: str) -> None:
    record.about[block] = f"{time.strftime('%Y-%m-%d %H:%M')}, {how}"
    records.write(block, record)


@contextmanager
def bench_at(programs: native.Programs, cores: Cores, folder: Path) -> Iterator[Bench]:
    """Yield an upstream, a client and requests for them, in this folder."""
    folder.mkdir()
    with upstream(programs, cores, folder) as up:
        yield Bench(up=up, client=Client(programs=programs, cores=cores), requests=Requests(folder))


def _measure(bench: Bench, block: Block, cores: Cores) -> Record:
    record = Record(missing=missing(block.peers))
    with ExitStack() as stack:
        targets = {DIRECT: bench.up.direct()}
        for peer in block.peers:
            if peer.name in record.missing:
                continue
            if target := _start(stack, bench, peer, cores, record):
                targets[peer.name] = target
                _check(bench, target, block, record)
        targets[NOISE] = bench.up.direct(NOISE, "direct again: the noise")
        _rounds(bench, block, targets, record)
    return record


def missing(peers: Sequence[Peer]) -> dict[str, str]:
    """Return what is not installed, and what to type."""
    found = {peer.name: peer.missing() for peer in peers}
    return {name: how for name, how in found.items() if how}


def _start(stack: ExitStack, bench: Bench, peer: Peer, cores: Cores, record: Record) -> Target | None:
    """Return one that does not start stops nobody else."""
    began_at = time.monotonic()
    try:
        target = stack.enter_context(running(peer, bench.up, cores, bench.requests.folder))
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        say(f"{peer.name}: {error}")
        record.failed[peer.name] = str(error)
        return None
    record.started[peer.name] = time.monotonic() - began_at
    return target


def _check(bench: Bench, target: Target, block: Block, record: Record) -> None:
    """Check that a target works; the gateway only once."""
    if target.name == OURS and block.name != MAIN:
        return
    record.checks[target.name] = check(bench, target)
    say(f"{target.name}: {_told(record.checks[target.name])}")


def _told(checks: dict[str, str]) -> str:
    bad = [f"{name}: {what}" for name, what in checks.items() if what]
    return "; ".join(bad) or "does its work"


def _rounds(bench: Bench, block: Block, targets: dict[str, Target], record: Record) -> None:
    for turn, step in block.turns():
        say(f"{block.name}: round {turn + 1}, {step.scenario}")
        for name in step.order(list(targets), turn):
            try:
                figures = SCENARIOS[step.scenario].run(bench, targets[name], step.seconds)
            except (Failed, OSError, ValueError, subprocess.SubprocessError) as error:
                say(f"{name}, {step.scenario}: {error}")
                record.troubles.append(f"{name}, {step.scenario}, round {turn + 1}: {error}")
                continue
            if figures:
                record.samples.append(
                    Sample(block=block.name, round=turn, scenario=step.scenario, target=name, figures=figures)
                )
