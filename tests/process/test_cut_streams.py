"""Cut streams are logged one by one; if they are unknown, connections are counted."""

import http.client
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nim.event_loop import EventLoop
from nim.failures.find_cut_streams import KEPT_SECONDS, LOGGED, CutStreams
from nim.logging.log_line_parsers import EngineLines, read_nginx
from tests.fakes.launch import wait_until
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service
from tests.process.test_stop import stream

pytestmark = pytest.mark.slow

FOR_EVER = 1_000_000
NAMED = re.compile(
    r"stream cut \(([^)]+)\): POST /v1/completions, open for [\d.]+ s, request_id=([0-9.-]{9,80})$"
)


def streaming(start: Start, directory: Path, count: int, **changes: Any) -> Service:
    """Return a service whose streams never end by themselves."""
    plan = make_plan(directory, tokens=FOR_EVER, interval_ms=20)
    service = start(
        rendered(plan, **{"shutdown_timeout_seconds": 20.0} | changes), fast_restarts=True
    ).wait_ready()
    for _ in range(count):
        stream(service, FOR_EVER)
    return service


def named(service: Service) -> list[tuple[str, str]]:
    """Return reason and request id of each cut stream in the log."""
    found = (NAMED.search(line.removesuffix('"}')) for line in service.lines)
    return [(match[1], match[2]) for match in found if match]


@pytest.mark.parametrize("json_logs", [False, True])
def test_a_stop_past_its_budget_names_the_streams_that_it_cuts(
    start: Start, directory: Path, json_logs: bool
) -> None:
    service = streaming(start, directory, 3, json_logs=json_logs, shutdown_timeout_seconds=4.0)
    assert service.stop() == 143
    ids = {request_id for _, request_id in named(service)}
    assert len(ids) == 3
    access = [line for line in service.lines if "POST /v1/completions" in line and "stream cut" not in line]
    assert ids == {request_id for request_id in ids if any(request_id in line for line in access)}
    assert "streams cut because they did not end in time: 3" in service.text
    if json_logs:
        assert sum(json.loads(line).get("complete") is False for line in service.lines) == 3
    else:
        assert sum(line.endswith(" incomplete") for line in access) == 3
    assert "open socket" not in "".join(line for line in service.lines if "CRITICAL" in line)


def test_a_lost_engine_s_streams_are_named(start: Start, directory: Path) -> None:
    service = streaming(start, directory, 3)
    service.kill(service.api_server)
    wait_until(lambda: len(named(service)) == 3, "their names")
    assert {why for why, _ in named(service)} == {"the engine was lost"}
    service.wait_ready()
    assert service.stop() == 0
    assert len(named(service)) == 3


def test_an_engine_that_dies_while_the_service_stops_takes_streams_along_that_are_named(
    start: Start, directory: Path
) -> None:
    service = streaming(start, directory, 2, shutdown_timeout_seconds=12.0)
    engine = service.api_server
    service.send(signal.SIGTERM)
    service.wait_said("stopping: SIGTERM")
    service.kill(engine)
    assert service.wait() == 143
    assert [why for why, _ in named(service)] == ["the engine ended before them"] * 2


def test_a_client_that_left_by_itself_was_not_cut(start: Start, directory: Path) -> None:
    service = streaming(start, directory, 0)
    link = http.client.HTTPConnection("127.0.0.1", service.plan.gateway.server_port)
    body = json.dumps({"prompt": "x", "stream": True, "max_tokens": FOR_EVER})
    link.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    response = link.getresponse()
    response.readline()
    response.close()
    link.close()
    service.wait_said(" incomplete")
    assert service.stop() == 0
    assert not named(service)


def test_the_streams_of_a_killed_nginx_are_counted(start: Start, directory: Path) -> None:
    service = streaming(start, directory, 3)
    service.kill(service.nginx)
    service.wait_said("and with it its streams (3 connections were open and cannot be identified)")
    service.wait_ready()
    assert service.stop() == 0


def test_a_killed_worker_of_nginx_is_logged_as_text(start: Start, directory: Path) -> None:
    service = streaming(start, directory, 1)
    (worker,) = service.find("nginx: worker")
    service.kill(worker)
    service.wait_said(f"worker process {worker} was ended by signal 9: its streams are cut")
    wait_until(lambda: service.find("nginx: worker") not in ([], [worker]), "another worker")
    service.wait_ready()
    assert service.stop() == 0


# the last line


def test_the_last_log_line_reports_the_end(start: Start) -> None:
    service = start().wait_ready()
    assert service.stop(signal.SIGINT) == 0
    assert re.fullmatch(r"INFO .* nim\] stopped after [\d.]+ s, exit code 0", service.lines[-1])


def test_the_last_line_of_a_failure_has_its_code(start: Start) -> None:
    service = start(crash_in="load", crash="gpu_oom")
    assert service.wait() == 70
    assert re.fullmatch(r"WARNING .* nim\] stopped after [\d.]+ s, exit code 70", service.lines[-1])


@pytest.mark.parametrize(
    "line",
    [
        "nanobind: leaked 4 instances!",
        ' - leaked instance 0x7f5742cec4c8 of type "triton._C.libtriton.ir.attribute"',
        ' - leaked function "create_dot"',
        " - ... skipped remainder",
        "nanobind: this is likely caused by a reference counting issue in the binding code.",
        "See https://nanobind.readthedocs.io/en/latest/refleaks.html",
        "/x/multiprocessing/resource_tracker.py:254: UserWarning: resource_tracker: There appear to be",
        "  warnings.warn('resource_tracker: There appear to be %d '",
    ],
)
def test_what_libraries_say_as_python_ends_is_for_debugging(line: str) -> None:
    assert EngineLines().read(line).level == "DEBUG"


def test_nginx_s_words_for_what_it_was_made_to_leave_are_for_debugging() -> None:
    for words in ("5#5: *12 open socket #9 left in connection 4", "5#5: aborting"):
        assert read_nginx(f"2026/11/21 11:00:00 [alert] {words}").level == "DEBUG"
    assert read_nginx("2026/11/21 11:00:00 [alert] 5#5: fork() failed").level == "CRITICAL"


# the reading alone


def access(number: int, end: str = "", what: str = "POST /v1/completions 200") -> str:
    return (
        f"INFO 2026-11-21 11:54:36.898 gateway] {what} 17117 bytes 1.600 s "
        f"(first byte 0.001 s) client=127.0.0.1 connection={number} request_id=id-{number}{end}"
    )


def broken_off(number: int, words: str = "upstream prematurely closed connection") -> str:
    return f"7#7: *{number} {words} while reading upstream, client: 127.0.0.1, server: localhost"


def test_what_the_engine_broke_off_is_found_by_its_connection_whichever_log_comes_first() -> None:
    said: list[str] = []
    cut_streams = CutStreams(EventLoop(now=lambda: 5.0), lambda _, text: said.append(text))
    cut_streams.read(access(1))
    cut_streams.read_error(broken_off(1))
    cut_streams.read_error(broken_off(2, "recv() failed (104: Connection reset by peer)"))
    cut_streams.read(access(2))
    cut_streams.read(access(3))
    cut_streams.read_error("7#7: *3 upstream timed out while reading response header from upstream")
    cut_streams.read("nonsense")
    assert cut_streams.log_cut_streams("why", since=0.0) == 2
    assert [line.rpartition("=")[2] for line in said] == ["id-1", "id-2"]
    assert cut_streams.log_cut_streams("why", since=0.0) == 0


@pytest.mark.parametrize("what", ["- 408", "POST /v1/completions 408", "POST /v1/completions 499"])
def test_what_a_client_broke_off_is_not_lost_with_the_engine(what: str) -> None:
    said: list[str] = []
    loop = EventLoop(now=lambda: 5.0)
    later: list[Callable[[], None]] = []
    loop.after = lambda _, call: later.append(call)  # type: ignore[method-assign, assignment, return-value]
    cut_streams = CutStreams(loop, lambda _, text: said.append(text))
    cut_streams.read(access(1, " incomplete", what))
    cut_streams.read(access(2, " incomplete"))
    status = int(what.rpartition(" ")[2])
    record = {"message": "-", "status": status, "seconds": 1, "connection": 3, "request_id": "id-3"}
    cut_streams.read(json.dumps(record | {"complete": False}))
    cut_streams.log_cut_streams_soon("the engine was lost", since=0.0)
    later[0]()
    assert [line.rpartition("=")[2] for line in said] == ["id-2"]


def test_requests_cut_before_the_response_headers_are_logged_at_a_stop() -> None:
    said: list[str] = []
    cut_streams = CutStreams(EventLoop(now=lambda: 5.0), lambda _, text: said.append(text))
    cut_streams.read(access(1, " incomplete", "POST /v1/completions 499"))
    assert cut_streams.log_cut_streams("they did not end in time", since=0.0) == 1


def test_at_most_twenty_cut_streams_are_logged_one_by_one() -> None:
    said: list[str] = []
    cut_streams = CutStreams(EventLoop(now=lambda: 5.0), lambda _, text: said.append(text))
    for number in range(LOGGED + 80):
        cut_streams.read(access(number, " incomplete"))
    assert cut_streams.log_cut_streams("why", since=0.0) == LOGGED + 80
    assert len(said) == LOGGED + 1
    assert said[-1] == "streams cut (why): and 80 more, all in the access log"


def test_who_left_before_the_loss_is_not_counted_and_not_kept() -> None:
    now = [0.0]
    cut_streams = CutStreams(EventLoop(now=lambda: now[0]), lambda *_: None)
    cut_streams.read(access(1, " incomplete"))
    now[0] = 3.0
    cut_streams.read(access(2, " incomplete"))
    assert cut_streams.log_cut_streams("why", since=2.0) == 1
    for _ in range(100):
        now[0] += KEPT_SECONDS / 2
        cut_streams.read(access(3))
    assert len(cut_streams._lines) <= 3
