"""How a service ends: signals, exit codes, and what is left."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from nim.cleanup.read_and_watch_processes import all_processes, below
from nim.service_state import Phase
from nim.supervision import drain
from tests.fakes.launch import Client, wait_until
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service

CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
CONTAINED = subprocess.run([*CONTAINER, "true"], check=False).returncode == 0


def stream(service: Service, tokens: int) -> tuple[threading.Thread, list[bytes]]:
    """Return a streamed answer through the gateway, read by a thread; what came of it so far."""
    client = Client(service.plan.gateway.server_port)
    answer = client.send("POST", "/v1/completions", {"prompt": "x", "stream": True, "max_tokens": tokens})
    lines = [answer.readline()]

    def read() -> None:
        try:
            lines.extend(answer)
        except OSError:
            lines.append(b"broken off")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread, lines


def test_a_service_starts_serves_and_stops_cleanly(start: Start) -> None:
    service = start().wait_ready()
    assert service.live()
    assert service.get("/v1/models")[0] == 200
    assert service.state().ready
    assert service.stop() == 0
    assert service.verdict()["exit_code"] == 0
    assert service.state().phase is Phase.STOPPED
    service.assert_nothing_left()


def test_it_is_live_long_before_it_is_ready(start: Start) -> None:
    service = start(hang_in="load").wait_live()
    wait_until(lambda: b'"phase":"load"' in service.get("/v1/health/ready")[1], "the phase in ready")
    assert "loading the weights" in service.state().message
    assert service.get("/v1/health/ready")[0] == 503
    assert service.stop() == 0


def test_unready_at_once_while_new_work_is_still_taken(start: Start, directory: Path) -> None:
    service = start(rendered(make_plan(directory), shutdown_timeout_seconds=10.0)).wait_ready()
    service.send(signal.SIGTERM)
    wait_until(lambda: not service.ready(), "unready")
    assert service.get("/v1/models")[0] == 200
    assert b'"phase":"draining"' in service.get("/v1/health/ready")[1]
    assert service.wait() == 0


@pytest.mark.slow
def test_of_a_hundred_streams_that_fit_the_budget_none_is_cut(start: Start, directory: Path) -> None:
    plan = make_plan(directory, tokens=30, interval_ms=80)
    service = start(rendered(plan, shutdown_timeout_seconds=60.0)).wait_ready()
    streams = [stream(service, 30) for _ in range(100)]
    service.send(signal.SIGTERM)
    for thread, lines in streams:
        thread.join(60)
        assert lines[-2] == b"data: [DONE]\n"
    assert service.wait() == 0
    assert "cut" not in "".join(line for line in service.lines if " nim] " in line)


def test_a_stream_longer_than_the_budget_is_cut_and_changes_the_exit_code(
    start: Start, directory: Path
) -> None:
    plan = rendered(make_plan(directory, tokens=100_000, interval_ms=20), shutdown_timeout_seconds=3.0)
    service = start(plan).wait_ready()
    thread, lines = stream(service, 100_000)
    assert service.stop() == 143
    thread.join(5)
    assert b"data: [DONE]\n" not in lines
    assert "streams cut because they did not end in time: 1" in service.text
    service.assert_nothing_left()


@pytest.mark.slow
def test_the_engine_is_stopped_only_after_nginx(start: Start, directory: Path) -> None:
    """It calls answers complete that it breaks off, and nobody may pass that on."""
    plan = rendered(make_plan(directory, tokens=100_000, interval_ms=20), shutdown_timeout_seconds=3.0)
    service = start(plan).wait_ready()
    stream(service, 100_000)
    os.kill(service.nginx, signal.SIGSTOP)
    assert service.stop() == 143
    nginx, engine = "nginx (terminated by SIGKILL", "[shutdown] API server: shutdown triggered"
    assert service.text.index(nginx) < service.text.index(engine)


def test_an_engine_that_ignores_sigterm_is_killed_and_changes_the_exit_code(
    start: Start, directory: Path
) -> None:
    plan = rendered(make_plan(directory, deaf=True, workers=2), shutdown_timeout_seconds=3.0)
    service = start(plan).wait_ready()
    assert service.stop() == 143
    assert "engine did not end in time" in service.text
    service.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_every_signal_to_stop_stops_once(start: Start, directory: Path, number: int) -> None:
    # How long a stop takes on a busy machine is not what is tested here.
    service = start(rendered(make_plan(directory), shutdown_timeout_seconds=10.0)).wait_ready()
    assert service.stop(number) == 0
    assert service.text.count("stopping: ") == 1


def test_what_nohup_ignores_stays_ignored(directory: Path) -> None:
    service = Service(make_plan(directory), directory, within=("sh", "-c", 'trap "" HUP; exec "$@"', "sh"))
    service.wait_ready()
    service.send(signal.SIGHUP)
    assert service.ready()
    assert service.stop() == 0
    assert "SIGHUP" not in service.text
    service.stderr.close()


def test_ctrl_c_in_a_terminal_reaches_pid_1_alone(start: Start) -> None:
    service = start().wait_ready()
    os.killpg(service.process.pid, signal.SIGINT)
    assert service.wait() == 0
    assert service.text.count("stopping: SIGINT") == 1


def test_ctrl_c_again_shortens_the_stop(start: Start, directory: Path) -> None:
    plan = make_plan(directory, tokens=100_000, interval_ms=20)
    service = start(rendered(plan, shutdown_timeout_seconds=3600.0)).wait_ready()
    stream(service, 100_000)
    service.send(signal.SIGINT)
    service.wait_said("stopping")
    service.send(signal.SIGINT)
    assert service.wait() == 143
    service.assert_nothing_left()


@pytest.mark.slow
def test_sigterm_after_a_drain_does_not_shorten_it(start: Start, directory: Path) -> None:
    plan = rendered(make_plan(directory, tokens=40, interval_ms=40), shutdown_timeout_seconds=15.0)
    service = start(plan).wait_ready()
    thread, lines = stream(service, 40)
    assert drain(plan.run_dir) == service.process.pid
    service.wait_said("stopping: SIGUSR1")
    service.send(signal.SIGTERM)
    assert service.wait() == 0
    thread.join(5)
    assert lines[-2] == b"data: [DONE]\n"


@pytest.mark.slow
@pytest.mark.parametrize("after_seconds", [0.0, 0.05, 0.12, 0.2])
def test_a_signal_at_any_moment_of_the_start_ends_it(start: Start, after_seconds: float) -> None:
    service = start(hang_in="load")
    wait_until((service.run_dir / "lock").exists, "the launcher")
    time.sleep(after_seconds)
    code = service.stop()
    assert code in (0, -signal.SIGTERM)  # the latter is the launcher's end, before it has started anything
    if code == 0:
        service.assert_nothing_left()


def test_what_an_engine_leaves_running_is_ended_with_it(start: Start) -> None:
    service = start(orphans=["group", "session"]).wait_ready()
    assert len(service.find("VLLM::Worker")) == 2
    assert service.stop() == 143
    assert "outlived the engine" in service.text
    service.assert_nothing_left()


@pytest.mark.skipif(not CONTAINED, reason="a process namespace is not allowed here")
def test_as_pid_1_of_a_container(directory: Path) -> None:
    """Whoever loses its parent falls to PID 1, and a signal without a handler does not reach it."""
    plan = make_plan(directory, orphans=["session"])
    service = Service(plan, directory, within=CONTAINER).wait_ready()
    assert (service.run_dir / "lock").read_text() == "1\n"
    (init,) = [p for p in service.processes() if p.parent == service.process.pid]
    api_server = service.api_server
    service.kill(api_server)
    service.wait_restarts(1)
    service.wait_ready()
    assert not [p for p in below(init.pid, all_processes()) if p.state == "Z"]
    os.kill(init.pid, signal.SIGTERM)
    assert service.wait() == 143  # the orphan of the second engine
    service.assert_nothing_left()
    service.stderr.close()


@pytest.mark.slow
def test_zombies_are_reaped(start: Start) -> None:
    service = start(workers=3).wait_ready()
    core = service.core
    workers = service.find("VLLM::Worker")
    service.kill(core)
    service.wait_restarts(1)
    wait_until(lambda: not any(p.pid in (core, *workers) for p in service.processes()), "reaping")
    assert not [p for p in service.processes() if p.state == "Z" and p.parent == service.process.pid]
    service.wait_ready()
    assert service.stop() == 0
