"""PID 1 waits for adapters, but not for a management service that does nothing."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nim.event_loop import EventLoop
from nim.health import adapters_poller
from nim.health.adapters_poller import AdaptersPoller
from nim.health.detect_startup_phase import Step
from nim.health.write_status_files import write_file
from nim.plan import ADAPTERS_FILE, AdapterPlan, Plan
from tests.process.plans import make_plan


@pytest.fixture
def plan(directory: Path) -> Plan:
    (directory / "run").mkdir()
    wish = AdapterPlan(
        source="/a",
        refresh_seconds=0,
        api_timeout_seconds=0.1,
        max_rank=16,
        base_names=("nim/demo",),
        name="source",
    )
    return replace(make_plan(directory), adapters=wish)


def polled(plan: Plan, *later: tuple[float, Any]) -> tuple[list[Step], list[str]]:
    """Run a loop until the poller is done; write the status file after the given seconds. (Steps, words.)"""
    loop, steps, words = EventLoop(), list[Step](), list[str]()
    poller = AdaptersPoller(plan, loop, steps.append, lambda _, text: words.append(text), loop.stop)
    for seconds, status in later:
        loop.after(seconds, partial(write_file, plan.file(ADAPTERS_FILE), json.dumps(status)))
    loop.after(0, poller.begin)
    loop.run()
    return steps, words


def test_it_is_done_when_the_file_says_so(plan: Plan) -> None:
    status = {"complete": False, "done": 1, "total": 2}
    steps, words = polled(plan, (0.05, status), (0.3, {"complete": True, "done": 2, "total": 2}))
    assert [step.message for step in steps] == ["loading adapters: 1 of 2", "loading adapters: 2 of 2"]
    assert words == []


def test_without_progress_it_is_done_with_a_warning(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters_poller, "GRACE_SECONDS", 0.2)
    _, [warning] = polled(plan, (0.05, {"complete": False, "done": 0, "total": 2}))
    assert warning.startswith("ready without all adapters")


def test_without_adapters_it_is_done_at_once(plan: Plan) -> None:
    assert polled(replace(plan, adapters=None)) == ([], [])
