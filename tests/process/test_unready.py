"""Any process of a ready engine is killed: the service becomes unready within a second."""

import time
from typing import Any

import pytest

from tests.fakes.launch import wait_until
from tests.process.conftest import Start

# The engine's own /health stays 200, and it does not end with what it lost: what is seen is our own doing.
DECEIVING = {"fail": {"/health": 200}, "core_death": 3600}
WORKER = r"VLLM::Worker"
# What is killed: its name, and the mood in which there is one.
PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "the API server": (r"fakes/engine\.py", {}),
    "the core": (r"VLLM::EngineCore", {}),
    "a worker": (WORKER, {"workers": 1}),
    "another child": (WORKER, {"orphans": ["group"]}),
    "a child in a session of its own": (WORKER, {"orphans": ["session"]}),
}
TRIES = 3
EVERY_DAY = ("the core", "a child in a session of its own")


@pytest.mark.parametrize(
    "part", [one if one in EVERY_DAY else pytest.param(one, marks=pytest.mark.slow) for one in PARTS]
)
def test_a_killed_process_of_the_engine_is_unready_within_a_second(start: Start, part: str) -> None:
    """In the best of some tries: the machine may stand still in one of them."""
    pattern, mood = PARTS[part]
    took: list[float] = []
    while min(took, default=1) >= 1 and len(took) < TRIES:
        service = start(**DECEIVING, **mood).wait_ready()
        victim = service.find_one(pattern)
        service.kill(victim)
        killed = time.monotonic()
        wait_until(lambda service=service: service.get("/v1/health/ready")[0] == 503, "unready")  # type: ignore[misc]
        took.append(time.monotonic() - killed)
        assert service.live()
        service.stop()
    assert min(took) < 1, took
