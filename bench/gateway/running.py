"""Start and stop the upstream and the proxies, each in its own directory and process group."""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from bench.gateway.cores import Cores, on
from bench.gateway.native import Programs
from bench.gateway.requests import MODEL, chat
from bench.peers.peer import CHAT, KEY, Command, Peer, Site
from bench.service import children, free_port, pss_kib

START_SECONDS = 120.0
STOP_SECONDS = 10.0
ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that answers: the upstream itself, or a peer before it."""

    name: str
    title: str
    address: str
    pids: tuple[int, ...] = ()
    peer: Peer | None = None

    def pss_bytes(self) -> int:
        """Return the memory of its processes; what they share counts once."""
        return sum(pss_kib(pid) for pid in self.pids) * 1024


def post(target: Target, body: bytes) -> tuple[int, bytes]:
    """Return one request and its whole answer."""
    host, _, port = target.address.rpartition(":")
    connection: http.client.HTTPConnection
    if context := target.peer.context if target.peer else None:
        connection = http.client.HTTPSConnection(host, int(port), timeout=ANSWER_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, int(port), timeout=ANSWER_SECONDS)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    try:
        connection.request("POST", CHAT, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def until_it_answers(target: Target, seconds: float, model: str) -> None:
    """Wait until the target answers; some listen long before that."""
    deadline = time.monotonic() + seconds
    body = chat(stream=False, model=model).partition(b"\r\n\r\n")[2]
    while True:
        try:
            status, said = post(target, body)
        except (OSError, http.client.HTTPException) as error:
            status, said = 0, repr(error).encode()
        if status == 200:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{target.name} does not answer: {status} {said[:500]!r}")
        time.sleep(0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The mock, listening on both kinds of socket."""

    port: int
    socket: Path
    pid: int

    def direct(self, name: str = "direct", title: str = "direct, TCP") -> Target:
        """Return the upstream with nothing before it."""
        return Target(name=name, title=title, address=f"127.0.0.1:{self.port}")


@contextmanager
def upstream(programs: Programs, cores: Cores, folder: Path) -> Iterator[Upstream]:
    """Yield the mock, until the end of the block."""
    port, socket = free_port(), folder / "up.sock"
    argv = on(cores.upstream, [str(programs.mock), "--port", str(port), "--uds", str(socket)])
    with _process(argv, {}, folder / "mock.log") as process:
        _until(lambda: listens(port), process, folder / "mock.log")
        yield Upstream(port=port, socket=socket, pid=process.pid)


@contextmanager
def running(
    peer: Peer, up: Upstream, cores: Cores | None, folder: Path, model: str = MODEL
) -> Iterator[Target]:
    """Yield the peer, once it answers for this model. What it says goes to a file beside it."""
    directory = folder / peer.name
    directory.mkdir()
    site = Site(directory=directory, port=free_port(), upstream_port=up.port, upstream_socket=up.socket)
    command = peer.command(site)
    log = Path(os.devnull) if command.chatty else directory / "output"
    argv = on(cores.gateway if cores else None, command.argv)
    with _aside(command, cores, log), _process(argv, command.env, log) as process:
        _until(lambda: listens(site.port), process, log)
        target = Target(name=peer.name, title=peer.title, address=f"127.0.0.1:{site.port}", peer=peer)
        until_it_answers(target, START_SECONDS, model)
        yield replace(target, pids=(process.pid, *children(process.pid)))


@contextmanager
def _aside(command: Command, cores: Cores | None, log: Path) -> Iterator[None]:
    if not command.aside:
        yield
        return
    with _process(on(cores.client if cores else None, command.aside), {}, log):
        yield


@contextmanager
def _process(argv: list[str], env: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a process and all its children, which end with the block."""
    with log.open("ab") as output:
        process = _spawn(argv, {**os.environ, **env}, output)
    try:
        yield process
    finally:
        _end(process)


def _spawn(argv: list[str], env: dict[str, str], output: BinaryIO) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process group: SIGTERM first, then SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait(STOP_SECONDS)


def listens(port: int) -> bool:
    """Return whether somebody takes connections there."""
    wanted = f":{port:04X} "
    for name in ("tcp", "tcp6"):
        lines = Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]
        if any(wanted in f"{line.split()[1]} " and line.split()[3] == "0A" for line in lines):
            return True
    return False


def _until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"it did not start:\n{said}")
        time.sleep(0.02)
