"""The compiled mock and client, as the benchmarks start them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.gateway import native
from bench.gateway.checks import Bench
from bench.gateway.cores import Cores, divide
from bench.gateway.session import bench_at


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> native.Programs:
    return native.build(tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="session")
def cores() -> Cores:
    """Return the cores as the benchmarks divide them; a single one has to do everything."""
    mine = sorted(os.sched_getaffinity(0))
    return divide(mine if len(mine) > 1 else mine * 2)


@pytest.fixture
def bench(programs: native.Programs, cores: Cores, directory: Path) -> Iterator[Bench]:
    """Yield the bench in a directory whose path is short enough for sockets."""
    with bench_at(programs, cores, directory / "bench") as made:
        yield made
