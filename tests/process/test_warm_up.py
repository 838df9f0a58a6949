"""Requests that go through the engine before the service is ready."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nim.plan import WarmUp
from tests.fakes.launch import wait_until
from tests.process.conftest import Start
from tests.process.plans import make_plan
from tests.process.service import Service

pytestmark = pytest.mark.slow
SYSTEM = [{"role": "system", "content": "You are brief. " * 8000}]
"""Larger than a socket's buffer."""


def started(start: Start, directory: Path, warm_up: WarmUp, **mood: Any) -> Service:
    return start(plan=replace(make_plan(directory, **mood), warm_up=warm_up))


def received(service: Service) -> list[str]:
    """Return the targets of all POST requests that reached the engine, in their order."""
    requests = service.engine.get("/fake/received?last=1000")
    return [request["target"] for request in requests if request["method"] == "POST"]


def test_a_request_is_answered_before_the_first_ready(tmp_path: Path, start: Start) -> None:
    service = started(start, tmp_path, WarmUp(seconds=30, model=str(tmp_path))).wait_ready()
    assert received(service) == ["/v1/chat/completions"]
    wait_until(lambda: "the engine was warmed up in" in service.text, "the log line")
    assert service.stop() == 0


def test_the_prefixes_of_a_file_follow(tmp_path: Path, start: Start) -> None:
    file = tmp_path / "prefixes"
    file.write_text(f'"Once upon a time"\n\n{json.dumps(SYSTEM)}\n', encoding="utf-8")
    service = started(start, tmp_path, WarmUp(seconds=30, model=str(tmp_path), file=str(file))).wait_ready()
    assert received(service) == ["/v1/chat/completions", "/v1/completions", "/v1/chat/completions"]
    (last,) = service.engine.get("/fake/received?last=1")
    length = next(value for name, value in last["headers"] if name.lower() == "content-length")
    assert int(length) > len(SYSTEM[0]["content"])
    assert last["status"] == 200
    assert service.stop() == 0


def test_a_form_that_the_engine_refuses_is_followed_by_another(tmp_path: Path, start: Start) -> None:
    fail = {"/v1/chat/completions": 400}
    service = started(start, tmp_path, WarmUp(seconds=30, model=str(tmp_path)), fail=fail).wait_ready()
    assert received(service) == ["/v1/chat/completions", "/v1/completions"]
    assert service.stop() == 0


def test_an_engine_that_answers_too_late_is_ready_after_the_time_limit(tmp_path: Path, start: Start) -> None:
    mood = {"stall": ["/v1/chat/completions"]}
    service = started(start, tmp_path, WarmUp(seconds=1, model=str(tmp_path)), **mood).wait_ready()
    assert "cut off after 1 s (NIM_WARM_UP_TIMEOUT)" in service.text
    assert service.stop() in (0, 143)


def test_it_is_not_ready_while_the_engine_answers_its_first_request(tmp_path: Path, start: Start) -> None:
    """The engine's own /health says 200 all this time."""
    mood = {"first_token_ms": 3000}
    service = started(start, tmp_path, WarmUp(seconds=30, model=str(tmp_path)), **mood).wait_live()
    wait_until(lambda: "first requests" in service.state().message, "the warm-up")
    assert service.get("/v1/health/ready")[0] == 503
    assert service.wait_ready().stop() == 0


def test_an_engine_that_is_restarted_is_warmed_up_again(tmp_path: Path, start: Start) -> None:
    plan = replace(make_plan(tmp_path), warm_up=WarmUp(seconds=30, model=str(tmp_path)))
    service = start(plan=plan, fast_restarts=True).wait_ready()
    before = service.api_server
    os.kill(before, 9)
    wait_until(lambda: service.text.count("the engine was warmed up in") == 2, "the second warm-up")
    service.wait_ready()
    assert service.api_server != before
    assert service.stop() == 0
