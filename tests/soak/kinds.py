"""The two services of the soak test: with the fake engine and with the real one."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from nim.hardware import detect_hardware
from nim.plan import ENGINE_SOCKET, Plan
from nim.planning.plan_request import Request
from nim.planning.planner import decide
from nim.settings import read_settings
from tests.process.plans import FAKE_ENGINE, make_plan, rendered
from tests.process.service import BOOT
from tests.soak.questions import FAKE_MODEL, FAKE_TOKENS, DemoQuestions, FakeQuestions, Questions

# Of the fake engine, in every life.
MOOD: Mapping[str, Any] = {
    "tokens": FAKE_TOKENS,
    "interval_ms": 10,
    "workers": 2,
    "core_death": 0.3,
    "phases": {"load": 0.1},
}
FAKE_BUDGET_SECONDS = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`plan` gets a directory, a port and a mood. `patience_seconds`: until a start counts as hung.

    `first_life_rounds`: enough to see a leak in, and fewer losses in a row than the service puts up with.
    """

    name: str
    plan: Callable[[Path, int, Mapping[str, Any]], Plan]
    questions: Callable[[Random], Questions]
    boot: Path
    clients: int
    patience_seconds: float
    healthy_seconds: float
    first_life_rounds: int


def fake_plan(directory: Path, port: int, mood: Mapping[str, Any]) -> Plan:
    """Return two workers of nginx, so that one can be lost."""
    socket = str(directory / "run" / ENGINE_SOCKET)
    program = (sys.executable, str(FAKE_ENGINE), "serve", str(directory))
    argv = (*program, "--uds", socket, "--enable-scale-out", "--served-model-name", FAKE_MODEL)
    plan = make_plan(directory, argv=argv, **{**MOOD, **mood})
    gateway = replace(plan.gateway, server_port=port, worker_processes=2)
    return rendered(plan, gateway=gateway, shutdown_timeout_seconds=FAKE_BUDGET_SECONDS)


def real_plan(directory: Path, port: int, mood: Mapping[str, Any]) -> Plan:
    """Return what `nim serve` would do with the demo model; `mood` is more of its environment."""
    own = {
        "NIM_SERVER_PORT": str(port),
        "NIM_RUN_DIR": str(directory / "run"),
        "NIM_CACHE_PATH": str(directory / "cache"),
    }
    others = {name: text for name, text in os.environ.items() if not name.startswith(("NIM_", "VLLM_"))}
    environ = {**others, **own, **mood}
    settings, hardware = read_settings(environ), detect_hardware(environ)
    plan, _ = decide(Request(settings=settings, environ=environ, hardware=hardware))
    return plan


FAKE = Kind(
    name="fake",
    plan=fake_plan,
    questions=FakeQuestions,
    boot=Path(__file__).with_name("boot.py"),
    clients=12,
    patience_seconds=60.0,
    healthy_seconds=1.2,
    first_life_rounds=30,
)
REAL = Kind(
    name="real",
    plan=real_plan,
    questions=DemoQuestions,
    boot=BOOT,
    clients=4,
    patience_seconds=600.0,
    healthy_seconds=1.0,
    first_life_rounds=4,
)
