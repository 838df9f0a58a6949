"""Each process of a service killed: what is restarted, what ends the service, and the log."""

import json
import os
import re
import signal
import socket
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

import pytest

from nim.plan import ENGINE_PARTS_DIR
from nim.service_state import Phase
from tests.fakes.launch import Client, wait_until
from tests.gateway.nginx import free_port
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import Service
from tests.process.test_stop import stream

HEALTH_MASTER = r"nginx: master.*/health\.conf"
# With the right to read the interpreter, which may lie in a home directory.
AS_SOMEBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"),
)


# before the first ready


def test_an_engine_killed_while_loading_is_lost_and_not_restarted(start: Start) -> None:
    service = start(hang_in="load").wait_live()
    wait_until(lambda: "loading the weights" in service.state().message, "loading")
    service.kill(service.api_server)
    assert service.wait() == 70
    assert "unknown (killed by SIGKILL)" in service.text


def test_an_engine_that_cannot_even_be_executed(start: Start, directory: Path) -> None:
    script = directory / "engine"
    script.write_text("#!/nonexistent/interpreter\n")
    script.chmod(0o700)
    service = start(make_plan(directory, argv=(str(script),)))
    assert service.wait() == 70
    assert f'cannot start the engine "{script}": No such file or directory' in service.text


# after it


@pytest.mark.parametrize("part", ["api_server", "core"])
def test_a_killed_engine_comes_back_when_nothing_of_it_lives_any_more(
    start: Start, directory: Path, part: str
) -> None:
    """The next one writes down who of the first still lives as it starts."""
    old, left, script = directory / "old", directory / "left", directory / "engine.sh"
    mood = {"orphans": ["group", "session"], "core_death": 0.5, "workers": 2}
    script.write_text(
        f"#!/bin/sh\n[ -e {old} ] && for pid in $(cat {old}); do\n"
        f"  grep -qs '^State:.[^Z]' /proc/$pid/status && echo $pid\ndone > {left}\n"
        f"exec {' '.join(make_plan(directory).engine.argv)}\n"
    )
    script.chmod(0o700)
    service = start(make_plan(directory, argv=(str(script),), **mood), fast_restarts=True).wait_ready()
    first, all_of_it = service.api_server, service.find(r"fakes/engine\.py|VLLM::")
    assert len(all_of_it) == 6
    old.write_text(" ".join(map(str, all_of_it)))
    service.kill(getattr(service, part))
    service.wait_restarts(1)
    service.wait_ready()
    assert service.api_server != first
    assert left.read_text() == ""
    assert service.state().restarts == (("unknown", 1),)
    assert service.stop() == 143  # the orphans of the second engine


def test_an_engine_that_does_not_end_with_its_core_is_ended(start: Start) -> None:
    service = start(fast_restarts=True, workers=2, core_death=3600).wait_ready()
    service.kill(service.find("VLLM::Worker")[0])
    wait_until(lambda: not service.ready(), "unready")
    service.wait_restarts(1)
    assert "the engine does not end by itself and is killed" in service.text
    service.wait_ready()
    assert service.stop() == 0


@pytest.mark.slow
def test_the_sockets_of_a_killed_engine_s_parts_are_gone_before_the_next(start: Start) -> None:
    """vLLM gives them new names at each start and leaves them behind when it is killed."""
    service = start(fast_restarts=True).wait_ready()
    place = Path(service.engine.get("/fake/argv?env=VLLM_RPC_BASE_PATH")["env"]["VLLM_RPC_BASE_PATH"])
    assert place == service.run_dir / ENGINE_PARTS_DIR
    assert place.stat().st_mode & 0o777 == 0o700
    for name in ("first", "second"):
        with socket.socket(socket.AF_UNIX) as part:
            part.bind(str(place / name))
        if name == "first":
            service.kill(service.api_server)
            service.wait_restarts(1)
            service.wait_ready()
            assert not [*place.iterdir()]
    assert service.stop() == 0
    assert not place.exists()


@pytest.mark.slow
def test_the_shared_memory_of_a_killed_engine_is_gone_before_the_next(start: Start, directory: Path) -> None:
    """Python leaves a process behind that removes it, when whoever could use it has ended: here a `sleep`."""
    names = directory / "names"
    script = (
        "import runpy, subprocess, sys; from multiprocessing import resource_tracker\n"
        "from multiprocessing.shared_memory import SharedMemory\n"
        f"memory = SharedMemory(create=True, size=16); print(memory.name, file=open({str(names)!r}, 'a'))\n"
        "subprocess.Popen(['sleep', '300'], pass_fds=[resource_tracker.getfd()])\n"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    python, *engine = make_plan(directory).engine.argv
    service = start(
        make_plan(directory, argv=(python, "-c", script, *engine)), fast_restarts=True
    ).wait_ready()
    service.kill(service.api_server)
    service.wait_restarts(1)
    service.wait_ready()
    service.kill(service.supervisor)
    assert service.wait() == 71
    made = names.read_text().split()
    assert len(made) == 2
    assert not [name for name in made if Path("/dev/shm", name).exists()]


@pytest.mark.slow
def test_a_part_that_the_engine_does_not_need_costs_a_doubt_and_no_restart(start: Start) -> None:
    service = start(fast_restarts=True, orphans=["group"]).wait_ready()
    first = service.api_server
    service.kill(service.find_one("VLLM::Worker"))
    service.wait_said("a process of the engine, has ended")
    wait_until(lambda: not service.ready(), "unready")
    service.wait_said("the engine works on without it")
    service.wait_ready()
    assert service.api_server == first
    assert service.state().restarts == ()
    assert service.stop() == 0


@pytest.mark.slow
def test_an_unrequested_exit_with_code_0_is_a_loss(start: Start) -> None:
    service = start(fast_restarts=True).wait_ready()
    os.kill(service.api_server, signal.SIGTERM)
    service.wait_restarts(1)
    service.wait_said("engine lost: unknown (exit code 0)")
    service.wait_ready()
    assert service.stop() == 0


@pytest.mark.slow
def test_an_engine_that_was_ready_comes_back_whatever_its_last_words_are(start: Start) -> None:
    """Its arguments were good enough for a start: what vLLM says of a client's request proves nothing."""
    service = start(fast_restarts=True).wait_ready()
    service.engine.order(crash_in="serve", crash="bad_argument")
    service.wait_restarts(1)
    service.wait_ready()
    assert service.state().restarts == (("unknown", 1),)
    assert service.stop() == 0


def test_when_the_budget_of_restarts_is_spent_the_service_ends(start: Start) -> None:
    service = start(fast_restarts=True).wait_ready()
    for count in (1, 2):
        service.kill(service.api_server)
        service.wait_restarts(count)
        service.wait_ready()
    service.kill(service.api_server)
    assert service.wait() == 70
    assert service.verdict()["failure"]["kind"] == "unknown"
    service.assert_nothing_left()


def test_a_restart_that_fails_counts_too(start: Start, directory: Path) -> None:
    """The second start of this engine and all further ones fail."""
    script = directory / "engine.sh"
    plan = make_plan(directory)
    again = " ".join(plan.engine.argv)
    script.write_text(
        f"#!/bin/sh\n[ -e {directory}/second ] && exit 1\ntouch {directory}/second\nexec {again}\n"
    )
    script.chmod(0o700)
    service = start(make_plan(directory, argv=(str(script),)), fast_restarts=True).wait_ready()
    service.kill(service.api_server)
    assert service.wait() == 70
    assert service.text.count("the engine is started again: restart ") == 2


def test_a_stop_during_the_pause_before_a_restart(start: Start) -> None:
    service = start().wait_ready()
    service.kill(service.api_server)
    service.wait_restarts(1)
    assert b'"phase":"restarting"' in service.get("/v1/health/ready")[1]
    assert service.stop() == 0
    service.assert_nothing_left()


# the gateway


def test_a_killed_nginx_comes_back_with_its_port(start: Start) -> None:
    service = start().wait_ready()
    first, engine = service.nginx, service.api_server
    service.kill(first)
    wait_until(lambda: first not in service.find("nginx: master") != [], "another nginx")
    service.wait_ready()
    assert service.api_server == engine
    assert "nginx lost (killed by SIGKILL), and with it its streams" in service.text
    assert service.stop() == 0


@pytest.mark.slow
def test_the_health_port_has_an_nginx_that_is_lost_and_drains_by_itself(
    start: Start, directory: Path
) -> None:
    plan = make_plan(directory, tokens=1_000_000, interval_ms=20)
    gateway = replace(plan.gateway, health_port=free_port())
    service = start(rendered(plan, gateway=gateway, shutdown_timeout_seconds=8.0)).wait_ready()

    def health(name: str) -> int:
        return service.get(f"/v1/health/{name}", gateway.health_port)[0]

    first, api = service.find_one(HEALTH_MASTER), service.nginx
    assert health("live") == health("ready") == 200
    service.kill(first)
    wait_until(lambda: service.find(HEALTH_MASTER) not in ([], [first]), "another nginx")
    wait_until(lambda: health("live") == health("ready") == 200, "its port")
    assert service.nginx == api
    assert "health lost (killed by SIGKILL); it is started again at once" in service.text
    stream(service, 1_000_000)
    service.send(signal.SIGTERM)
    wait_until(lambda: not service.live(), "the API's port closed")
    assert (health("live"), health("ready")) == (200, 503)
    assert service.wait() == 143
    service.assert_nothing_left()


def test_three_losses_of_nginx_in_a_row_end_the_service(start: Start) -> None:
    service = start(fast_restarts=True).wait_ready()
    for _ in range(2):
        first = service.nginx
        service.kill(first)
        wait_until(lambda first=first: first not in service.find("nginx: master") != [], "another nginx")  # type: ignore[misc]
    service.kill(service.nginx)
    assert service.wait() == 71
    assert service.verdict()["exit_code"] == 71
    service.assert_nothing_left()


def test_a_killed_nginx_worker_leaves_the_streams_of_the_others_alone(start: Start, directory: Path) -> None:
    """Exactly those of the surviving worker end whole."""
    plan = make_plan(directory, tokens=30, stall_after=3)
    service = start(
        rendered(plan, gateway=replace(plan.gateway, worker_processes=2), shutdown_timeout_seconds=15.0)
    ).wait_ready()
    lost, kept = service.find("nginx: worker")
    streams: dict[int, HTTPResponse] = {}

    def held(worker: int) -> set[int]:
        return streams.keys() & clients_of(worker, service)

    while min(len(held(lost)), len(held(kept))) < 4:
        assert len(streams) < 200
        port, answer = open_stream(service)
        streams[port] = answer
    cut, unharmed = held(lost), held(kept)
    service.kill(lost)
    wait_until(lambda: {*service.find("nginx: worker")} - {lost, kept}, "another worker")
    service.engine.order(stall_after=None)
    whole = {port for port, answer in streams.items() if ends_whole(answer)}
    assert (whole, streams.keys() - whole) == (unharmed, cut)
    assert service.ready()
    assert service.stop() == 0


def open_stream(service: Service) -> tuple[int, HTTPResponse]:
    """Return a stream that has begun, and the port from which it was asked for."""
    client = Client(service.plan.gateway.server_port)
    connection = HTTPConnection("127.0.0.1")
    connection.sock = client.connect()
    port: int = connection.sock.getsockname()[1]
    body = json.dumps({"prompt": "x", "stream": True})
    connection.request("POST", "/v1/completions", body, {"Connection": "close"})
    answer = connection.getresponse()
    answer.readline()
    return port, answer


def clients_of(worker: int, service: Service) -> set[int]:
    """Return the ports of the clients whose connections a worker of nginx holds, as the kernel has it."""
    sockets = set()
    for entry in Path(f"/proc/{worker}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            sockets.add(str(entry.readlink()))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
        if local == service.plan.gateway.server_port and f"socket:[{fields[9]}]" in sockets:
            found.add(remote)
    return found


def ends_whole(answer: HTTPResponse) -> bool:
    """Return whether a stream comes to its last event."""
    lines: list[bytes] = []
    with suppress(OSError, HTTPException):
        lines.extend(answer)
    answer.close()
    return lines[-2:-1] == [b"data: [DONE]\n"]


def test_a_killed_middleware_comes_back_and_nothing_else_notices(start: Start) -> None:
    service = start(fast_restarts=True).wait_ready()
    wait_until(lambda: service.get("/v1/version")[0] == 200, "the middleware")
    engine, nginx, first = service.api_server, service.nginx, service.find_one(r"nim\.middleware")
    service.kill(first)
    wait_until(lambda: service.find(r"nim\.middleware") not in ([], [first]), "another middleware")
    wait_until(lambda: service.get("/v1/version")[0] == 200, "its answer")
    assert service.ready()
    assert (service.api_server, service.nginx) == (engine, nginx)
    assert service.stop() == 0


# those above


def test_without_its_supervisor_a_service_ends(start: Start) -> None:
    service = start().wait_ready()
    service.kill(service.supervisor)
    assert service.wait() == 71
    assert "supervisord lost" in service.text
    service.assert_nothing_left()


def test_no_answer_that_a_lost_supervisor_cuts_short_is_called_complete(start: Start) -> None:
    """vLLM that is told to end sends `response.completed` for each answer that it breaks off."""
    service = start(tokens=1000, interval_ms=20, core=False).wait_ready()
    client = Client(service.plan.gateway.server_port)
    ask = {"input": "x", "stream": True}
    answers = [client.send("POST", "/v1/responses", ask) for _ in range(20)]
    for answer in answers:
        answer.readline()
    service.kill(service.supervisor)
    assert service.wait() == 71
    for answer in answers:
        said: list[bytes] = []
        with suppress(OSError, HTTPException):
            said.extend(answer)
        assert b"response.completed" not in b"".join(said)
        answer.close()


def test_nothing_outlives_a_killed_pid_1(start: Start, directory: Path) -> None:
    service = start(rendered(make_plan(directory), shutdown_timeout_seconds=1.0)).wait_ready()
    tree = service.processes()
    service.kill(service.process.pid)
    service.wait()
    wait_until(lambda: not any(process.alive for process in tree), "the end of everything below it")


def test_an_engine_that_is_stopped_does_not_hold_up_the_stop(start: Start, directory: Path) -> None:
    service = start(rendered(make_plan(directory), shutdown_timeout_seconds=3.0)).wait_ready()
    os.kill(service.api_server, signal.SIGSTOP)
    assert service.stop() == 143
    service.assert_nothing_left()


def test_a_stop_right_after_nginx_was_killed_leaves_none_of_its_workers(start: Start) -> None:
    service = start().wait_ready()
    os.kill(service.process.pid, signal.SIGSTOP)  # so that both arrive in one moment
    service.kill(service.nginx)
    service.send(signal.SIGTERM)
    os.kill(service.process.pid, signal.SIGCONT)
    assert service.wait() == 0
    service.assert_nothing_left()


@pytest.mark.slow
def test_live_is_200_at_every_moment(start: Start, directory: Path) -> None:
    plan = rendered(make_plan(directory), shutdown_timeout_seconds=20.0)
    service: Service = start(plan, fast_restarts=True).wait_ready()
    service.kill(service.api_server)
    while service.state().phase is not Phase.READY or not service.state().restarts:
        assert service.live()
    assert service.stop() == 0


def test_a_supervisord_that_refuses_to_start_is_heard(directory: Path) -> None:
    """Its last words would be lost with it: it ends before PID 1 reads its log."""
    limit = ("prlimit", "--nofile=60:60")
    service = Service(rendered(make_plan(directory), open_files=60), directory, within=limit)
    assert service.wait() == 71
    reason = "The minimum number of file descriptors required to run this process is 64"
    block = service.text.partition("supervisord lost: gateway_lost (exit code 2)")[2]
    assert reason in block
    assert reason in service.verdict()["failure"]["log"][0]
    service.stderr.close()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_limit_on_processes_is_told_in_words(directory: Path) -> None:
    """Nothing is left behind, and no traceback is printed, however many processes the user may have."""
    directory.chmod(0o777)
    plan = make_plan(directory, argv=("/bin/sleep", "100"))
    plan = rendered(plan, gateway=replace(plan.gateway, user=None))
    for count in range(1, 5):
        service = Service(plan, directory, within=(*AS_SOMEBODY, "prlimit", f"--nproc={count}"))
        service.wait()
        assert "Traceback" not in service.text
        assert re.search(r"ulimit -u|fork\(\) failed|could not be started: cannot startProcess", service.text)
        assert not list(service.run_dir.glob("*.sock"))
        service.stderr.close()
