"""Errors before the start; nothing has been started then."""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nim.cleanup.read_and_watch_processes import read_process
from nim.errors import PreflightError
from nim.options.derived_options import kv_event_entries
from nim.plan import NGINX_FILE, RenderedFile
from nim.preflight import run_directory
from nim.preflight import run_start_checks as checks
from nim.preflight.claim_ports import claim_ports, release
from nim.supervision import drain
from nim.value_origins import Layer, Origin, Value
from tests.fakes.launch import wait_until
from tests.gateway.nginx import free_port
from tests.process.conftest import Start
from tests.process.plans import make_plan, rendered
from tests.process.service import BOOT, Service
from tests.process.test_stop import stream

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")


@pytest.fixture
def listener() -> socket.socket:
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    link.bind(("127.0.0.1", 0))
    link.listen()
    return link


def test_a_taken_port_names_its_variable_and_who_has_it(directory: Path, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    plan = make_plan(directory)
    plan = rendered(plan, gateway=replace(plan.gateway, server_port=port))
    with listener, pytest.raises(PreflightError) as refused:
        checks.run_start_checks(plan, os.environ)
    text = str(refused.value)
    assert f"cannot listen on port {port} (NIM_SERVER_PORT): process {os.getpid()} (" in text
    assert "hint: NIM_SERVER_PORT=" in text


def test_a_port_that_another_service_has_is_freed_by_its_drain(start: Start) -> None:
    service = start().wait_live()
    with pytest.raises(PreflightError) as refused:
        checks.run_start_checks(service.plan, os.environ)
    assert f"or NIM_RUN_DIR={service.plan.run_dir} nim drain" in str(refused.value.hint)
    assert service.stop() == 0


def test_every_port_has_its_own_variable(directory: Path, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    plan = make_plan(directory)
    health = replace(plan, gateway=replace(plan.gateway, health_port=port))
    backend = replace(plan, engine=replace(plan.engine, port=port, socket=None))
    (events,) = kv_event_entries(port)
    config = {events.name: Value(value=events.value, origin=events.origin)}
    wanted = {
        "NIM_HEALTH_PORT": health,
        "NIM_BACKEND_PORT": backend,
        "NIM_KV_EVENTS_PORT": replace(plan, config={**plan.config, **config}),
    }
    with listener:
        for variable, changed in wanted.items():
            with pytest.raises(PreflightError, match=variable):
                checks.run_start_checks(changed, os.environ)


def test_one_port_for_two_purposes(directory: Path) -> None:
    plan = make_plan(directory)
    plan = replace(plan, gateway=replace(plan.gateway, health_port=plan.gateway.server_port))
    with pytest.raises(PreflightError, match="twice: for NIM_SERVER_PORT and for NIM_HEALTH_PORT"):
        checks.run_start_checks(plan, os.environ)


def test_free_ports_are_free_again_after_the_check(directory: Path) -> None:
    plan = make_plan(directory)
    checks.run_start_checks(plan, os.environ)
    checks.run_start_checks(plan, os.environ)


def test_without_nginx(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SBIN", "")
    with pytest.raises(PreflightError, match="apt-get install nginx-light"):
        checks.run_start_checks(make_plan(directory), {"PATH": str(directory)})


def test_without_the_engine(directory: Path) -> None:
    with pytest.raises(PreflightError, match='there is no program "no-such-engine"'):
        checks.run_start_checks(make_plan(directory, argv=("no-such-engine", "serve")), os.environ)


def test_too_little_shared_memory_for_workers(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_gpu = make_plan(directory)
    on_cpu = replace(one_gpu, profile=replace(one_gpu.profile, tags={"gpu": "cpu"}))
    size = Value(value=2, origin=Origin(layer=Layer.PROFILE, place="a profile"))
    two_gpus = replace(one_gpu, config={"tensor_parallel_size": size})
    for plan in (one_gpu, on_cpu, two_gpus):
        checks.check_shared_memory(plan, directory)
        checks.check_shared_memory(plan, directory / "not there")
    monkeypatch.setattr(checks, "WORKER_SHM_BYTES", 1 << 62)
    checks.check_shared_memory(one_gpu, directory)
    for plan in (on_cpu, two_gpus):
        with pytest.raises(PreflightError, match=r"MiB free, and its workers need[^$]*hint: `--shm-size=1g`"):
            checks.check_shared_memory(plan, directory)


def test_little_shared_memory_is_a_warning(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(checks.warnings(directory)) == []
    assert list(checks.warnings(directory / "not there")) == []
    monkeypatch.setattr(checks, "SHM_BYTES", 1 << 62)
    (warning,) = checks.warnings(directory)
    assert "--shm-size" in warning


def test_nginx_own_words_are_in_the_refusal(directory: Path) -> None:
    plan = make_plan(directory)
    broken = replace(plan, files=(RenderedFile(path=NGINX_FILE, text="events {}\nno_such_directive on;\n"),))
    done = boot(directory, broken.to_json())
    assert done.returncode == 1
    assert 'unknown directive "no_such_directive"' in done.stderr
    assert done.stderr.endswith("exit code 7\n")
    run_dir = Path(plan.run_dir)
    assert not (run_dir / "plan.json").exists()
    assert not (run_dir / "lock").exists()
    assert not any(path.is_fifo() or path.is_socket() for path in run_dir.rglob("*"))


def test_a_second_service_is_refused_with_the_pid_of_the_first(start: Start, directory: Path) -> None:
    service = start().wait_live()
    other = rendered(service.plan, gateway=replace(service.plan.gateway, server_port=free_port()))
    done = boot(directory, other.to_json())
    assert f"process {service.process.pid} serves from it" in done.stderr
    assert service.live()
    assert service.stop() == 0


@pytest.mark.slow
def test_the_lock_of_a_killed_service_does_not_delay_the_next_start(start: Start) -> None:
    first = start().wait_ready()  # now it starts nothing more, which the list would lack
    tree = first.processes()
    first.kill(first.process.pid)
    first.wait()
    for process in tree:
        process.send(9)
    wait_until(lambda: not any(process.alive for process in tree), "the end of the first")
    second = start(first.plan).wait_ready()
    assert second.stop() == 0


@pytest.mark.slow
def test_what_a_killed_service_left_behind_is_waited_for(start: Start, directory: Path) -> None:
    """Its nginx still drains a stream, and holds the port and the log pipes."""
    plan = make_plan(directory, tokens=100, interval_ms=20)
    first = start(rendered(plan, shutdown_timeout_seconds=20.0)).wait_ready()
    reading, lines = stream(first, 100)
    supervisor = read_process(first.supervisor)
    assert supervisor
    first.process.kill()
    second = start(first.plan)
    wait_until(lambda: not supervisor.alive, "the end of what was left behind")
    second.wait_ready()
    reading.join(20)
    assert b"data: [DONE]\n" in lines
    assert second.stop() == 0
    first.wait()


def test_the_run_directory_is_made_private(directory: Path) -> None:
    path = directory / "a" / "run"
    lock = run_directory.take(path)
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / "lock").read_text() == f"{os.getpid()}\n"
    run_directory.release(path, lock)
    assert not (path / "lock").exists()


def test_a_file_in_the_place_of_the_directory(directory: Path) -> None:
    (directory / "run").touch()
    refuses(directory / "run", "NIM_RUN_DIR=… elsewhere")
    refuses(directory / "run" / "below", "NIM_RUN_DIR=… elsewhere")


def test_a_place_where_nothing_can_be_made() -> None:
    refuses(Path("/proc/nim-test"), "NIM_RUN_DIR=…")


MOUNTING = ("unshare", "--mount", "sh", "-c")


@pytest.mark.skipif(subprocess.run([*MOUNTING, "true"], check=False).returncode != 0, reason="not allowed")
@pytest.mark.parametrize(
    ("options", "said"), [("ro", "Read-only file system"), ("size=8k", "No space left on device")]
)
def test_a_directory_that_cannot_be_written(directory: Path, options: str, said: str) -> None:
    plan = make_plan(directory)
    run_dir = Path(plan.run_dir)
    run_dir.mkdir(mode=0o700)
    file = directory / "refused.json"
    file.write_text(plan.to_json())
    script = f"mount -t tmpfs -o mode=700,{options} none {run_dir} && exec {sys.executable} {BOOT} {file}"
    done = subprocess.run([*MOUNTING, script], capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr.startswith("cannot write ")
    assert f'{run_dir}": {said}' in done.stderr
    assert "NIM_RUN_DIR=" in done.stderr
    assert done.stderr.endswith("exit code 7\n")


def test_a_directory_that_others_may_enter(directory: Path) -> None:
    (directory / "run").mkdir()
    (directory / "run").chmod(0o755)
    refuses(directory / "run", f"NIM_RUN_DIR={directory / 'run'}/nim")


@as_root
def test_a_directory_of_somebody_else(directory: Path) -> None:
    (directory / "run").mkdir(mode=0o700)
    os.chown(directory / "run", 65534, 65534)
    refuses(directory / "run", "NIM_RUN_DIR=… elsewhere")


def test_a_link_is_not_followed(directory: Path) -> None:
    (directory / "elsewhere").mkdir(mode=0o700)
    (directory / "run").symlink_to(directory / "elsewhere")
    refuses(directory / "run", "NIM_RUN_DIR=… elsewhere")


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a b$c", "a%b", "a;b", "a{b", "a#b"])
def test_a_name_that_means_something_to_nginx_or_supervisord(directory: Path, name: str) -> None:
    refuses(directory / name, "NIM_RUN_DIR=/run/nim")


def test_a_path_too_long_for_a_socket(directory: Path) -> None:
    refuses(directory / ("x" * 100), "NIM_RUN_DIR=/run/nim")


def test_drain_where_nothing_runs(directory: Path) -> None:
    with pytest.raises(PreflightError, match="no service runs"):
        drain(str(directory))
    (directory / "lock").write_text("1\n")
    with pytest.raises(PreflightError, match="no service runs"):
        drain(str(directory))


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process that the drain signal would end."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def _lock_elsewhere(run: Path) -> None:
    (run / "lock").rename(run / "elsewhere")
    (run / "lock").symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("disguise", "why"),
    [
        pytest.param(lambda run: run.chmod(0o777), r"others may enter it \(mode 777\)", id="mode"),
        pytest.param(
            lambda run: os.chown(run, 65534, 65534), "belongs to user 65534", id="owner", marks=as_root
        ),
        pytest.param(Path.exists, "no service runs", id="pid"),
        pytest.param(_lock_elsewhere, "no service runs", id="link"),
    ],
)
def test_drain_signals_nobody_whom_others_have_named(
    directory: Path, victim: subprocess.Popen[bytes], disguise: Callable[[Path], None], why: str
) -> None:
    run = directory / "run"
    run.mkdir(mode=0o700)
    (run / "lock").write_text(f"{victim.pid}\n")
    with (run / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        disguise(run)
        with pytest.raises(PreflightError, match=why):
            drain(str(run))
    with pytest.raises(subprocess.TimeoutExpired):
        victim.wait(0.2)


def test_drain_follows_no_link_to_a_service(start: Start, directory: Path) -> None:
    service = start().wait_live()
    (directory / "link").symlink_to(service.run_dir)
    with pytest.raises(PreflightError, match="no service runs"):
        drain(str(directory / "link"))
    assert drain(str(service.run_dir)) == service.process.pid
    assert service.wait() == 0


def refuses(path: Path, hint: str) -> None:
    with pytest.raises(PreflightError) as refused:
        run_directory.take(path)
    assert str(refused.value).startswith(("cannot use ", "cannot make "))
    assert hint in str(refused.value.hint)


def boot(directory: Path, plan: str) -> subprocess.CompletedProcess[str]:
    """Start a service that is expected to be refused."""
    file = directory / "refused.json"
    file.write_text(plan)
    command = [sys.executable, str(BOOT), str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_of_services_that_start_in_one_moment_one_has_the_port(directory: Path) -> None:
    """All with nginx listeners of the same user, which the kernel would let share the port."""
    port = free_port()
    services = []
    for number in range(6):
        own = directory / str(number)
        own.mkdir()
        plan = make_plan(own)
        services.append(Service(rendered(plan, gateway=replace(plan.gateway, server_port=port)), own))
    wait_until(lambda: sum(one.process.poll() is None for one in services) == 1, "five refusals")
    (only,) = [one for one in services if one.process.poll() is None]
    only.wait_live()
    for other in services:
        if other is not only:
            assert other.wait() == 1
            assert f"cannot listen on port {port} (NIM_SERVER_PORT)" in other.text
    assert only.stop() == 0
    for one in services:
        one.stderr.close()


def test_a_claim_is_given_up_with_the_service(start: Start, directory: Path) -> None:
    service = start().wait_live()
    with pytest.raises(PreflightError, match="another service has taken it"):
        claim_ports(checks.ports(service.plan))
    assert service.stop() == 0
    release(claim_ports(checks.ports(service.plan)))
