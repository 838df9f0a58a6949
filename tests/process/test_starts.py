"""Phases, progress and ETA of a start, as its clients see them."""

import json
import mmap
import os
import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nim.cleanup.shared_memory import SHM
from nim.health.startup_history import FILE, Run, key_of, recall, remember
from nim.plan import Download
from nim.service_state import Phase
from tests.fakes.launch import wait_until
from tests.gateway.nginx import free_port
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service

pytestmark = pytest.mark.slow

# On a busy machine a stop may need more than its budget, which is not what is tested here.
ENDED = (0, 143)
SLOW = {"start": 2.5, "load": 1.0, "compile": 0.5, "warm-up": 1.0}


def startup(service: Service) -> Any:
    status, body = service.get("/v1/health/startup")
    return json.loads(body) if status in (200, 503) and body.startswith(b'{"object') else None


def watched(service: Service) -> list[Any]:
    """Return all that startup has told until ready."""
    told: list[Any] = []
    while not told or told[-1]["status"] != "ready":
        assert service.process.poll() is None, service.text
        if answer := startup(service):
            told.append(answer)
        time.sleep(0.02)
    return told


# the time until ready


def test_the_first_start_has_no_eta_and_the_second_counts_down(start: Start, directory: Path) -> None:
    plan = make_plan(directory, phases=SLOW)
    first = start(plan).wait_live()
    assert {answer["eta_seconds"] for answer in watched(first)} == {None}
    assert re.search(r"ready after [\d.]+ s: select", first.wait_said("ready after"))
    wait_until((directory / "cache" / FILE).exists, "the file")
    assert first.stop() in ENDED

    second = start(plan).wait_live()
    told = watched(second)
    times = [answer["eta_seconds"] for answer in told if answer["eta_seconds"] is not None]
    early = {answer["eta_seconds"] for answer in told if answer["phase"] in ("select", "load")}
    assert len(early - {None}) >= 2
    assert min(times) > 0
    assert told[-1]["eta_seconds"] is None
    line = second.wait_said("ready after")
    match = re.search(r"ready after ([\d.]+) s \(expected ([\d.]+) s, error ([+-][\d.]+) s\): ", line)
    assert match
    seconds, expected, error = (float(number) for number in match.groups())
    assert expected > 3
    assert error == pytest.approx(seconds - expected, abs=0.15)
    assert second.stop() in ENDED
    wait_until(lambda: len(recall(directory / "cache", key_of(plan)).runs) == 2, "both starts")


def test_an_unknown_release_has_no_phases_but_an_eta(start: Start, directory: Path) -> None:
    plan = make_plan(directory, phases={"load": 1.5})
    plan = replace(plan, engine=replace(plan.engine, version="0.33.0"))
    first = start(plan)
    told = watched(first)
    assert {answer["phase"] for answer in told} <= {"select", "unknown", "ready"}
    assert any("progress is not known for release 0.33.0" in answer["message"] for answer in told)
    assert first.stop() in ENDED
    second = start(plan)
    assert any(answer["eta_seconds"] for answer in watched(second) if answer["phase"] == "unknown")
    assert re.search(r"ready after [\d.]+ s \(expected [\d.]+ s, error [+-]", second.wait_said("ready after"))
    assert second.stop() in ENDED


def test_readiness_metadata_and_metrics_have_the_eta_too(start: Start, directory: Path) -> None:
    plan = make_plan(directory, hang_in="load")
    run = Run(at=1.0, seconds={Phase.SELECT: 0.1, Phase.LOAD: 300.0}, download_seconds=0.0, warm=False)
    remember(directory / "cache", key_of(plan), run)
    service = start(plan).wait_live()
    wait_until(lambda: service.state().eta_seconds is not None, "a time")
    wait_until(lambda: service.get("/v1/version")[0] == 200, "the middleware")
    assert 0 < json.loads(service.get("/v1/health/ready")[1])["eta_seconds"] <= 300.1
    assert 0 < json.loads(service.get("/v1/metadata")[1])["state"]["eta_seconds"] <= 300.1
    assert re.search(rb"(?m)^nim_startup_eta_seconds [\d.]+$", service.get("/v1/metrics")[1])
    assert service.stop() in ENDED
    assert service.state().eta_seconds is None


def test_a_damaged_file_costs_a_warning_and_is_replaced(start: Start, directory: Path) -> None:
    plan = make_plan(directory)
    (directory / "cache").mkdir()
    (directory / "cache" / FILE).write_text("{ not ours")
    service = start(plan).wait_ready()
    assert "WARNING" in service.wait_said("which is damaged")
    wait_until(lambda: recall(directory / "cache", key_of(plan)).runs, "a new file")
    assert service.stop() in ENDED


def test_a_file_that_cannot_be_written_costs_nothing(start: Start, directory: Path) -> None:
    (directory / "cache" / FILE).mkdir(parents=True)
    service = start(make_plan(directory)).wait_ready()
    assert "DEBUG" in service.wait_said("cannot keep how long this start took")
    assert service.stop() in ENDED


def test_a_restart_in_place_has_a_time_and_counts_as_a_start(start: Start, directory: Path) -> None:
    plan = make_plan(directory, phases={"load": 1.0})
    service = start(plan, fast_restarts=True).wait_ready()
    service.kill(service.api_server)
    service.wait_restarts(1)
    wait_until(lambda: service.state().eta_seconds is not None or service.ready(), "a time")
    service.wait_ready()
    wait_until(lambda: len(recall(directory / "cache", key_of(plan)).runs) == 2, "both starts")
    assert sum("(expected " in line for line in service.lines) == 1
    assert service.stop() in ENDED


# downloads


def downloading(directory: Path, *, total: int | None = 40_000_000, seconds: float = 5.0) -> Any:
    """Return a plan whose engine fetches its model into a hub's directory."""
    hub = directory / "hub" / "models--org--name"
    plan = make_plan(directory, fetch={"directory": str(hub), "bytes": 40_000_000, "seconds": seconds})
    model = replace(plan.model, path=None, source="hf://org/name")
    return rendered(plan, model=model, download=Download(directory=str(hub), total_bytes=total))


def test_a_download_is_reported_in_bytes(start: Start, directory: Path) -> None:
    service = start(downloading(directory)).wait_live()
    told = [answer for answer in watched(service) if answer["phase"] == "fetch"]
    progress = [answer["progress"] for answer in told if answer["progress"]]
    assert progress == sorted(progress)
    assert 0 < progress[0] < 1
    assert any("the engine is fetching the model: fetched " in answer["message"] for answer in told)
    assert any(" of 40.0 MB" in answer["message"] for answer in told)
    (kept,) = wait_until(lambda: recall(directory / "cache", key_of(service.plan)).runs, "the start")
    assert 0 < kept.download_seconds <= kept.seconds[Phase.FETCH]
    assert service.stop() in ENDED


def test_a_model_that_was_fetched_before_is_not_waited_for_again(start: Start, directory: Path) -> None:
    plan = downloading(directory, seconds=6.0)
    assert start(plan).wait_ready().stop() in ENDED
    (kept,) = wait_until(lambda: recall(directory / "cache", key_of(plan)).runs, "the start")
    cached = rendered(plan, engine=make_plan(directory, phases={"load": 1.0}).engine)
    service = start(cached).wait_ready()
    assert (expected := re.search(r"\(expected ([\d.]+) s,", service.wait_said("ready after")))
    assert float(expected[1]) == pytest.approx(sum(kept.seconds.values()) - kept.download_seconds, abs=0.1)
    assert kept.download_seconds > 2
    assert service.stop() in ENDED


# what a killed service leaves


@pytest.fixture
def somebody() -> Iterator[Path]:
    """Yield a segment like an engine's that is not ours."""
    path = SHM / f"psm_test{os.getpid()}"
    with path.open("xb+") as file:
        file.truncate(4096)
        segment = mmap.mmap(file.fileno(), 4096)
    yield path
    segment.close()
    path.unlink(missing_ok=True)


def record(service: Service) -> Path:
    return SHM / f"nim-{os.geteuid()}-{zlib.crc32(str(service.run_dir).encode()):08x}.json"


def segments(service: Service) -> set[Path]:
    """Return what the record of a service names of what its engine has now."""
    if not record(service).exists():
        return set()
    names = json.loads(record(service).read_text().partition("\n")[0] or "{}")
    engine = Path(f"/proc/{service.api_server}/maps").read_text()
    return {SHM / name for name in names if str(SHM / name) in engine}


def kill_everything(service: Service) -> None:
    tree = service.processes()
    for pid in (service.process.pid, *(process.pid for process in tree)):
        os.kill(pid, 9)
    service.wait()
    wait_until(lambda: not any(process.alive for process in tree), "the end of everything")


def test_shared_memory_of_a_killed_service_is_removed_at_its_next_start(
    start: Start, directory: Path, somebody: Path
) -> None:
    service = start(make_plan(directory, segments=2)).wait_ready()
    wait_until(lambda: len(segments(service)) == 2, "the record")
    left = segments(service)
    kill_everything(service)
    assert all(path.exists() for path in left)
    again = start(rendered(make_plan(directory, segments=1), gateway=service.plan.gateway)).wait_ready()
    again.wait_said("removed 2 files of shared memory")
    assert not any(path.exists() for path in left)
    assert somebody.exists()
    assert "nginx lost" not in again.text
    wait_until(lambda: len(segments(again)) == 1, "its own record")
    (own,) = segments(again)
    assert again.stop() in ENDED
    assert not own.exists()
    assert not record(again).exists()
    assert somebody.exists()


def test_shared_memory_of_a_killed_engine_is_removed_at_its_restart(start: Start, directory: Path) -> None:
    service = start(make_plan(directory, segments=1), fast_restarts=True).wait_ready()
    (left,) = wait_until(lambda: segments(service), "the record")
    service.kill(service.api_server)
    service.wait_restarts(1)
    service.wait_said(left.name)
    service.wait_ready()
    assert not left.exists()
    wait_until(lambda: segments(service), "the record of the next engine")
    assert service.stop() in ENDED
    assert not record(service).exists()


def test_shared_memory_that_somebody_still_uses_stays(start: Start, directory: Path) -> None:
    service = start(make_plan(directory, segments=2)).wait_ready()
    wait_until(lambda: len(segments(service)) == 2, "the record")
    used, unused = sorted(segments(service))
    with used.open("rb+") as file:
        segment = mmap.mmap(file.fileno(), 4096)
    kill_everything(service)
    again = start(make_plan(directory)).wait_ready()
    again.wait_said("removed 1 files of shared memory")
    assert used.exists()
    assert not unused.exists()
    segment.close()
    assert again.stop() in ENDED
    assert not used.exists()


def test_two_services_leave_each_others_shared_memory_alone(start: Start, directory: Path) -> None:
    one = start(make_plan(directory, segments=1)).wait_ready()
    (held,) = wait_until(lambda: segments(one), "the record")
    (directory / "2").mkdir()
    two = start(make_plan(directory / "2", segments=1)).wait_ready()
    assert two.stop() in ENDED
    assert held.exists()
    assert one.stop() in ENDED
    assert not held.exists()


# what users of other servers have met


def test_a_core_that_dies_while_it_loads_ends_the_service_with_the_cause(
    start: Start, directory: Path
) -> None:
    """An API server that goes on waiting for it does not keep the service waiting."""
    service = start(make_plan(directory, hang_in="load", core_death=3600), fast_restarts=True).wait_live()
    wait_until(lambda: "loading the weights" in service.state().message, "loading")
    service.kill(service.core)
    assert service.wait() == 70
    assert "VLLM::EngineCore" in service.verdict()["failure"]["message"]
    service.assert_nothing_left()


def test_health_on_a_port_of_its_own_follows_the_engine(start: Start, directory: Path) -> None:
    plan = make_plan(directory, phases={"load": 1.0})
    port = free_port()
    service = start(rendered(plan, gateway=replace(plan.gateway, health_port=port)))
    wait_until(lambda: service.get("/v1/health/live", port)[0] == 200, "live")
    assert json.loads(service.get("/v1/health/ready", port)[1])["status"] == "not_ready"
    service.wait_ready()
    assert service.get("/v1/health/ready", port)[0] == 200
    assert service.get("/v1/models", port)[0] == 404
    service.kill(service.api_server)
    wait_until(lambda: service.get("/v1/health/ready", port)[0] == 503, "unready")
    assert service.get("/v1/health/live", port)[0] == 200
    assert service.stop() in ENDED


def test_a_variable_that_is_not_text_reaches_the_engine_as_it_is(directory: Path) -> None:
    odd = os.fsdecode(b"\xff \xfe")
    service = Service(make_plan(directory), directory, OF_SOMEBODY=odd, LC_ODD=odd, SOME_TOKEN=odd * 3)
    service.wait_ready()
    environ = Path(f"/proc/{service.api_server}/environ").read_bytes()
    assert b"\0OF_SOMEBODY=\xff \xfe\0" in environ
    assert service.stop() == 0
    service.stderr.close()
