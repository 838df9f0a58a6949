"""The gateway works as the benchmarks start it, and passes each event when it arrives."""

import shutil
from collections.abc import Iterator

import pytest

from bench.gateway.checks import CHECKS, Bench
from bench.gateway.cores import Cores
from bench.gateway.running import Target, running
from bench.gateway.scenarios import SCENARIOS, Failed, Figures
from bench.peers.gateway import GATEWAY

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")]

ATTEMPTS = 5
"""A machine that stands still spoils one or two of them, a gateway that holds back spoils all."""
SECONDS = 1.5
MOST_ADDED_US = 5_000


@pytest.fixture
def gateway(bench: Bench, cores: Cores) -> Iterator[Target]:
    with running(GATEWAY, bench.up, cores, bench.requests.folder) as target:
        yield target


def test_the_gateway_passes_the_checks_of_the_benchmarks(bench: Bench, gateway: Target) -> None:
    for name, complaint in CHECKS.items():
        assert any(complaint(bench, gateway) == "" for _ in range(ATTEMPTS)), name


@pytest.mark.parametrize("streams", [1, 16, 64])
def test_events_come_as_evenly_as_without_the_gateway(bench: Bench, gateway: Target, streams: int) -> None:
    """The engine makes one each 20 ms; the p99 of the gaps is at most 5 ms above that of the direct path."""
    seen = []
    for _ in range(ATTEMPTS):
        seen.append((_stream(bench, bench.up.direct(), streams), _stream(bench, gateway, streams)))
        if _as_evenly(*seen[-1], streams):
            return
    pytest.fail(f"none of {ATTEMPTS}, direct and through the gateway: {seen}")


def _stream(bench: Bench, target: Target, streams: int) -> Figures | None:
    try:
        return SCENARIOS[f"tokens-{streams}"].run(bench, target, SECONDS)
    except Failed:
        return None


def _as_evenly(direct: Figures | None, ours: Figures | None, streams: int) -> bool:
    if not direct or not ours or (streams == 1 and ours["merged"]):
        return False
    return ours["gap_p99"] - direct["gap_p99"] < MOST_ADDED_US
