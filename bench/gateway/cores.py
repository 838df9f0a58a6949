"""Assign cores: one to the gateway, the rest to client and upstream."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from bench.gateway.native import CannotMeasure


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Numbers of cores."""

    gateway: int
    client: int
    upstream: int


def divide(available: Sequence[int]) -> Cores:
    """Return the last one for the gateway: the first is where the kernel has most of its own work."""
    if len(available) < 2:
        raise CannotMeasure(
            f"cannot measure on {len(available)} core: the gateway and the client need one each\n"
            "  hint: run it on a machine, or in a container, with two or more"
        )
    return Cores(gateway=available[-1], client=available[0], upstream=available[-2])


def own() -> Cores:
    """Return the cores that this process may use."""
    return divide(sorted(os.sched_getaffinity(0)))


def on(core: int | None, argv: Sequence[str]) -> list[str]:
    """Return the command, on this core alone; None: on any."""
    return list(argv) if core is None else ["taskset", "-c", str(core), *argv]
