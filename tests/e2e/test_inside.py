"""What others on the machine can reach or read of a running service: its sockets, its files, its secrets."""

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from nim.cleanup.read_and_watch_processes import all_processes, below
from tests.e2e.conftest import READY_SECONDS, Service, serving

pytestmark = [pytest.mark.engine, pytest.mark.own_engine, pytest.mark.timeout(3 * READY_SECONDS)]

PLANTED = {
    "HF_TOKEN": "hf_planted-1-token",
    "VLLM_API_KEY": "planted-2-key",
    "HF_ENDPOINT": "http://user:planted-3-endpoint@127.0.0.1:9",
    "HTTPS_PROXY": "user:planted-4%2Fproxy@127.0.0.1:9",
    "VLLM_REDIS_URL": "redis://user:planted-5-redis@h",
    "VLLM_NIXL_AUTHKEY": "planted-6-authkey",
    "VLLM_OF_A_PLUGIN": "planted-7-unknown",
    "OF_A_LIBRARY": '{"auth_token": "planted-8-json"}',
    "AWS_SECRET_ACCESS_KEY": "planted-9-aws",
}
ROUTES = (
    "/",
    "/v1/metadata",
    "/v1/manifest",
    "/v1/metrics",
    "/v1/health/startup",
    "/v1/version",
    "/docs",
    "/none",
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """In a directory that everybody may enter, so that only what the service made private is."""
    directory = Path(tempfile.mkdtemp(prefix="nim-inside-"))
    directory.chmod(0o755)
    with serving(directory, NIM_LOG_LEVEL="DEBUG", **PLANTED) as running:
        yield running
    shutil.rmtree(directory)


def processes(service: Service) -> list[int]:
    return [service.process.pid, *(one.pid for one in below(service.process.pid, all_processes()))]


def of(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def test_no_command_line_has_a_secret(service: Service) -> None:
    lines = {pid: of(pid, "cmdline") for pid in processes(service)}
    assert len(lines) > 4
    assert not [line for line in lines.values() if b"planted" in line]


def test_only_the_engine_and_those_that_start_it_have_them_in_their_environment(service: Service) -> None:
    have = {of(pid, "cmdline") for pid in processes(service) if b"planted" in of(pid, "environ")}
    assert not [command for command in have if b"nginx" in command or b"nim.middleware" in command]
    assert [command for command in have if b"run_vllm_cpu" in command or b"vllm" in command]


def test_no_file_and_no_answer_has_them(service: Service) -> None:
    texts = {route: service.get(route)[1] for route in ROUTES}
    texts |= {str(path): path.read_bytes() for path in service.run_dir.rglob("*") if path.is_file()}
    texts["log"] = service.log.read_bytes()
    assert {"plan.json", "vllm.args", "nginx.conf"} <= {Path(name).name for name in texts}
    assert not [name for name, text in texts.items() if b"planted" in text]


def test_only_the_gateway_listens_beyond_this_machine(service: Service) -> None:
    """The engine talks over a unix socket; what its own processes open among themselves stays on loopback."""
    seen: dict[bytes, set[str]] = {}
    for pid in processes(service):
        for link in psutil.Process(pid).net_connections(kind="inet"):
            if link.status == psutil.CONN_LISTEN:
                seen.setdefault(of(pid, "cmdline").split(b"\0")[0], set()).add(link.laddr.ip)
    beyond = {name for name, addresses in seen.items() if not addresses <= {"127.0.0.1", "::1"}}
    assert len(seen) > 1
    assert beyond
    assert all(name.startswith(b"nginx:") for name in beyond), seen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_reaches_no_socket_and_no_file(service: Service) -> None:
    """Tried by a process that has become nobody; it has the descriptors of none of them."""
    sockets = [path for path in service.run_dir.rglob("*") if path.is_socket()]
    files = [path for path in service.run_dir.rglob("*") if not path.is_socket() and not path.is_dir()]
    assert {"engine.sock", "middleware.sock", "supervisor.sock"} <= {path.name for path in sockets}
    assert "run" in as_nobody(lambda: [path.name for path in service.run_dir.parent.iterdir()])
    reached = as_nobody(lambda: [path.name for path in sockets if connects(path)])
    assert reached == []
    assert as_nobody(lambda: [path.name for path in files if opens(path)]) == []
    assert [path.name for path in sockets if connects(path)]  # the same attempt, as the service's user


def as_nobody(attempt: Callable[[], list[str]]) -> list[str]:
    read, write = os.pipe()
    if not (pid := os.fork()):
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(write, json.dumps(attempt()).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as answer:
        found: list[str] = json.load(answer)
    return found


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        return link.connect_ex(str(path)) == 0


def opens(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
