"""A stalled engine becomes unready, ready again, or is killed; a slow one is not stalled."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nim.health.parse_engine_counters import Core, EngineCounters, read_counters
from nim.health.stall_rule import StallRule
from nim.plan import ENGINE_SOCKET, Plan
from nim.service_state import Phase
from tests.fakes.launch import wait_until
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service
from tests.process.test_stop import stream

pytestmark = pytest.mark.slow

FOR_EVER = 1_000_000


def watched(directory: Path, stall: float = 1.5, probe: float = 0.0, **mood: Any) -> Plan:
    """Return a plan of a service that looks for stalls."""
    plan = make_plan(directory, **mood)
    return rendered(
        plan, stall_timeout_seconds=stall, probe_interval_seconds=probe, shutdown_timeout_seconds=12.0
    )


def metric(service: Service, name: str) -> float:
    """Return the one sample of this name."""
    families = text_string_to_metric_families(service.get("/v1/metrics")[1].decode())
    return next(sample.value for family in families for sample in family.samples if sample.name == name)


def wait_stalled(service: Service, why: str) -> None:
    wait_until(lambda: not service.ready(), "unready")
    wait_until(lambda: service.state().phase is Phase.STALLED, "the state")
    assert why in service.state().message
    assert service.live()
    wait_until(lambda: b'"phase":"stalled"' in service.get("/v1/health/ready")[1], "the answer")


@pytest.mark.parametrize("part", ["core", "api_server"])
def test_a_stopped_engine_with_requests_is_unready_until_it_continues(
    start: Start, directory: Path, part: str
) -> None:
    service = start(watched(directory, tokens=FOR_EVER, interval_ms=20)).wait_ready()
    stream(service, FOR_EVER)
    pid = getattr(service, part)
    os.kill(pid, signal.SIGSTOP)
    wait_stalled(service, "none of them has got on" if part == "core" else "has not answered")
    wait_until(lambda: metric(service, "nim_engine_stalls_total") == 1, "the metric")
    assert metric(service, "nim_ready") == 0
    os.kill(pid, signal.SIGCONT)
    service.wait_ready()
    service.wait_said("the engine works again")
    assert service.state().restarts == ()
    service.send(signal.SIGINT)
    service.send(signal.SIGINT)
    service.wait()


def test_a_stopped_engine_that_was_idle_is_noticed_by_a_probe(start: Start, directory: Path) -> None:
    service = start(watched(directory, probe=0.3)).wait_ready()
    wait_until(lambda: probes(service), "a probe")
    os.kill(service.core, signal.SIGSTOP)
    wait_stalled(service, "a probe of one token has had no answer")
    os.kill(service.core, signal.SIGCONT)
    service.wait_ready()
    assert "/v1/completions" not in "".join(line for line in service.lines if " gateway] " in line)
    assert service.stop() == 0


def test_a_part_that_is_lost_meanwhile_does_not_hide_the_stall(start: Start, directory: Path) -> None:
    """Once it is known that the engine works on without that part, it still stands still."""
    plan = watched(directory, stall=3.0, stall_after=1, tokens=9, orphans=["group"])
    service = start(plan, fast_restarts=True).wait_ready()
    stream(service, 9)
    wait_stalled(service, "none of them has got on")
    service.kill(service.find_one("VLLM::Worker"))
    service.wait_said("the engine works on without it")
    wait_stalled(service, "none of them has got on")
    assert service.state().stalls == 1
    service.engine.order(stall_after=None)
    service.wait_ready()
    assert service.stop() == 0


def probes(service: Service) -> list[Any]:
    """Return the engine's record of them."""
    return [r for r in service.engine.get("/fake/received") if r["path"] in ("/v1/completions", "/pooling")]


def test_metrics_that_fail_for_a_while_are_no_stall(start: Start, directory: Path) -> None:
    service = start(watched(directory, stall=1.0, fail={"/metrics": 503})).wait_ready()
    looks = len(service.engine.get("/fake/received"))
    wait_until(lambda: len(service.engine.get("/fake/received")) > looks + 20, "looks")
    assert service.ready()
    service.engine.order(fail={}, stall_after=2)
    stream(service, 9)
    wait_stalled(service, "none of them has got on")
    service.engine.order(stall_after=None)
    service.wait_ready()
    assert service.stop() == 0


def test_without_probes_an_idle_engine_is_left_alone(start: Start, directory: Path) -> None:
    service = start(watched(directory, stall=0.5)).wait_ready()
    looks = len(service.engine.get("/fake/received"))
    wait_until(lambda: len(service.engine.get("/fake/received")) > looks + 20, "looks")
    assert not probes(service)
    assert service.ready()
    assert service.stop() == 0


def test_an_engine_that_stays_stalled_is_killed_and_restarted(start: Start, directory: Path) -> None:
    plan = watched(directory, stall=0.4, stall_after=3, tokens=9)
    service = start(plan, fast_restarts=True).wait_ready()
    first = service.api_server
    stream(service, 9)
    service.wait_restarts(1)
    assert service.state().restarts == (("stalled", 1),)
    failure = service.state().failure
    assert failure
    assert "the engine stood still and was killed: requests are running" in failure.message
    service.wait_ready()
    assert service.api_server != first
    assert service.stop() == 0


def test_one_request_that_hangs_is_no_stall_while_the_engine_answers_others(
    start: Start, directory: Path
) -> None:
    """Whoever waits for it can give it up; to restart the engine would cost all others theirs."""
    service = start(watched(directory, stall=1.0, probe=0.2, stall_after=3, tokens=9)).wait_ready()
    stream(service, 9)
    wait_until(lambda: len(probes(service)) > 15, "probes")  # each of them is one token only
    assert service.ready()
    assert service.state().stalls == 0
    service.send(signal.SIGINT)
    service.send(signal.SIGINT)
    service.wait()


def test_an_engine_without_counters_is_not_suspected(start: Start, directory: Path) -> None:
    plan = watched(directory, stall=0.5, probe=0.1, fail={"/metrics": 404}, stall_after=1, tokens=9)
    service = start(plan).wait_ready()
    service.wait_said("stalls cannot be detected, only whether the engine answers: its metrics (404)")
    assert service.ready()
    assert not probes(service)
    assert service.stop() == 0


@pytest.mark.parametrize("metrics", [200, 404])
def test_an_engine_that_refuses_connections_is_stalled_and_started_again(
    start: Start, directory: Path, metrics: int
) -> None:
    """Its processes live and its socket is gone, so nobody can reach it any more."""
    fail = {} if metrics == 200 else {"/metrics": metrics}
    service = start(watched(directory, stall=0.6, fail=fail), impatient=True).wait_ready()
    first = service.api_server
    (service.run_dir / ENGINE_SOCKET).unlink()
    wait_stalled(service, "the engine has not answered for")
    service.wait_restarts(1)
    service.wait_ready()
    assert service.api_server != first
    assert service.state().restarts == (("stalled", 1),)
    assert service.stop() == 0


def test_a_service_whose_run_directory_was_removed_ends(start: Start, directory: Path) -> None:
    service = start(watched(directory, stall=0.6), impatient=True).wait_ready()
    gone = service.run_dir.rename(directory / "gone")  # at once: PID 1 may be writing a file there
    shutil.rmtree(gone)
    assert service.wait() == 70
    assert "not ready: the engine has not answered for" in service.text
    assert "engine lost: stalled" in service.text


@pytest.mark.parametrize(
    ("fail", "asked"),
    [
        ({"/v1/completions": 404}, ["/v1/completions", "/pooling"]),
        ({"/v1/completions": 400}, ["/v1/completions"]),
        ({"/v1/completions": 500}, ["/v1/completions"]),
    ],
)
def test_a_model_that_cannot_be_on_probe_answer_is_not_on_probe_answer_again(
    start: Start, directory: Path, fail: dict[str, int], asked: list[str]
) -> None:
    service = start(watched(directory, probe=0.1, fail=fail)).wait_ready()
    service.wait_said("the engine is no longer probed: it answers a probe with")
    looks = len(service.engine.get("/fake/received"))
    wait_until(lambda: len(service.engine.get("/fake/received")) > looks + 5, "looks")
    assert [r["path"] for r in probes(service)] == asked
    assert service.ready()
    assert service.stop() == 0


def test_a_pooling_model_is_on_probe_answer_by_its_own_route(start: Start, directory: Path) -> None:
    plan = watched(directory, probe=0.1, fail={"/v1/completions": 404}, routes=["/pooling"])
    service = start(plan).wait_ready()
    wait_until(lambda: len(probes(service)) > 3, "probes")
    assert service.ready()
    assert "not probed" not in service.text
    assert service.stop() == 0


def test_a_probe_carries_the_key_that_the_engine_wants(directory: Path) -> None:
    service = Service(watched(directory, probe=0.1), directory, VLLM_API_KEY="a-key-of-the-engine")
    service.wait_ready()
    wait_until(lambda: [r["status"] for r in probes(service) if "status" in r][:2] == [200, 200], "probes")
    assert service.stop() == 0
    assert "a-key-of-the-engine" not in service.text
    service.stderr.close()


# the judgement alone


def counters(tokens: int, running: int, cache: float = 0.0, engine: bytes = b"0") -> EngineCounters:
    core = Core(running=running, signs=[b"%d" % running, b"%d" % tokens, str(cache).encode()])
    return EngineCounters(cores={engine: core}, asleep=False)


def test_work_that_gets_on_is_no_stall() -> None:
    patience = StallRule(limit=10, grace=5, began_at=0)
    for now in range(0, 100, 5):
        patience.observe(counters(tokens=now, running=1), now)
        assert patience.verdict(now) is None
    patience.observe(counters(tokens=95, running=1), 104)
    assert patience.verdict(104) is None
    patience.observe(counters(tokens=95, running=1), 105)
    assert "requests are running, and for 10 s" in str(patience.verdict(105))


def test_a_long_prompt_fills_the_cache_before_its_first_token_and_is_no_stall() -> None:
    patience = StallRule(limit=10, grace=5, began_at=0)
    for now in range(0, 1000, 5):
        patience.observe(counters(tokens=0, running=1, cache=now / 1000), now)
        assert patience.verdict(now) is None


def test_one_of_two_cores_that_stalls_is_detected() -> None:
    patience = StallRule(limit=10, grace=5, began_at=0)
    for now in range(0, 15, 5):
        cores = {
            **counters(tokens=now, running=1, engine=b"0").cores,
            **counters(tokens=0, running=1, engine=b"1").cores,
        }
        patience.observe(EngineCounters(cores=cores, asleep=False), now)
    assert patience.verdict(10)


def test_an_idle_engine_owes_nothing() -> None:
    patience = StallRule(limit=10, grace=5, began_at=0)
    for now in range(0, 1000, 5):
        patience.observe(counters(tokens=0, running=0), now)
        assert patience.verdict(now) is None


def test_a_probe_that_waits_behind_others_is_no_stall_while_they_get_on() -> None:
    patience = StallRule(limit=10, grace=5, began_at=0)
    patience.probe_sent(0)
    for now in range(0, 100, 5):
        patience.observe(counters(tokens=now, running=3), now)
        assert patience.verdict(now) is None
    patience.observe(counters(tokens=95, running=3), 105)
    assert "a probe of one token has had no answer" in str(patience.verdict(105))


def test_who_was_frozen_begins_anew() -> None:
    patience = StallRule(limit=10, grace=5, began_at=0)
    patience.observe(counters(tokens=0, running=1), 0)
    patience.probe_sent(0)
    patience.reset(500)
    assert patience.verdict(501) is None


REAL = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="nim/{demo} 7"} 2.0
vllm:num_requests_running{engine="1",model_name="nim/{demo} 7"} 0.0
vllm:num_requests_waiting{engine="1",model_name="nim/{demo} 7"} 3.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="nim/{demo} 7",reason="capacity"} 9.0
vllm:engine_sleep_state{engine="0",model_name="nim/{demo} 7",sleep_state="awake"} 1.0
vllm:engine_sleep_state{engine="0",model_name="nim/{demo} 7",sleep_state="discard_all"} 0.0
vllm:generation_tokens_total{engine="0",model_name="nim/{demo} 7"} 41.0
vllm:prompt_tokens_total{engine="0",model_name="nim/{demo} 7"} 17.0
vllm:iteration_tokens_total_count{engine="0",model_name="nim/{demo} 7"} 40.0
vllm:kv_cache_usage_perc{engine="0",model_name="nim/{demo} 7"} 0.25
vllm:generation_tokens_created{engine="0",model_name="nim/{demo} 7"} 1.79e+09
"""


def test_the_lines_of_vllm_are_read() -> None:
    seen = read_counters(REAL)
    assert seen
    assert (seen.cores[b"0"].running, seen.cores[b"1"].running) == (2, 0)
    assert seen.cores[b"0"].signs == [b"2.0", b"1.0", b"0.0", b"41.0", b"17.0", b"40.0", b"0.25"]
    assert seen.cores[b"1"].signs == [b"0.0", b"3.0"]
    assert not seen.asleep
    asleep = read_counters(REAL.replace(b'"awake"} 1.0', b'"awake"} 0.0'))
    assert asleep
    assert asleep.asleep


OTHERS = (
    b"",
    b"python_info 1\n",
    b"nonsense{",
    b'vllm:num_requests_running{engine="0"} nothing\nvllm:num_requests_waiting{engine="0"} ..\n',
)


@pytest.mark.parametrize("text", OTHERS)
def test_other_metrics_are_no_counters(text: bytes) -> None:
    assert read_counters(text) is None


def test_the_plan_carries_the_settings(directory: Path) -> None:
    plan = replace(make_plan(directory), stall_timeout_seconds=7.0, probe_interval_seconds=3.0)
    again = type(plan).from_json(plan.to_json())
    assert (again.stall_timeout_seconds, again.probe_interval_seconds) == (7.0, 3.0)
