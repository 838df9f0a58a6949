"""The fake engine's child processes, named as vLLM's are."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from tests.fakes.mood import Mood


class Children:
    """The core with its workers, and the orphans-to-be. Process ids; 0 is no core."""

    def __init__(self) -> None:
        self.core = 0
        self.workers: list[int] = []
        self.orphans: list[int] = []
        self.lifeline: socket.socket | None = None

    def start(self, mood: Mood) -> None:
        """Start those that the mood asks for."""
        for kind in mood.orphans:
            self.orphans.append(fork("VLLM::Worker", mood.deaf, be_orphan, new_session=kind == "session"))
        if mood.core:
            self.lifeline, theirs = socket.socketpair()
            self.core = fork("VLLM::EngineCore", mood.deaf, lambda: be_core(mood), theirs.fileno())
            theirs.close()
            self.workers = json.loads(self.lifeline.recv(4096))

    def reap(self) -> bool:
        """Reap ended children; return whether the core is among them."""
        dead = [pid for pid in (self.core, *self.orphans) if pid and os.waitpid(pid, os.WNOHANG)[0]]
        self.orphans = [pid for pid in self.orphans if pid not in dead]
        lost = self.core in dead
        if lost:
            self.core = 0
        return lost

    def frozen(self) -> bool:
        """Return whether the core is stopped (SIGSTOP): it makes no tokens then."""
        if not self.core:
            return False
        stat = Path(f"/proc/{self.core}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] in "tT"

    def end(self) -> None:
        """Send the core and its workers away; orphans stay."""
        if self.lifeline:
            self.lifeline.close()
        while self.core and not os.waitpid(self.core, os.WNOHANG)[0]:
            if self.frozen():  # again and again, since a process stops some time after SIGSTOP was sent
                os.kill(self.core, signal.SIGKILL)
            time.sleep(0.005)
        self.core = 0


def fork(title: str, deaf: bool, live: Callable[[], None], keep: int = 2, new_session: bool = False) -> int:
    """Start a child that has nothing of ours but stdio and, as its descriptor 3, `keep`.

    Its process id, as soon as it is what it will be.
    """
    ready, tell_ready = os.pipe()
    if pid := os.fork():
        os.close(tell_ready)
        os.read(ready, 1)
        os.close(ready)
        return pid
    try:
        become(title, deaf, new_session)
        os.close(tell_ready)
        os.dup2(keep, 3)
        os.closerange(4, 4096)
        live()
    finally:
        os._exit(0)


def become(title: str, deaf: bool, new_session: bool) -> None:
    """Make a process of its own out of a copy of ours."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN if deaf else signal.SIG_DFL)
    if new_session:
        os.setsid()
    rename(title)


def rename(title: str) -> None:
    """Set the process's name as vLLM does, by setproctitle or at least in `comm`."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        Path("/proc/self/comm").write_text(title)
    else:
        setproctitle(title)


def outlast_lifeline() -> None:
    """Run until the other end of descriptor 3 is closed."""
    os.read(3, 1)


def be_core(mood: Mood) -> None:
    """Report the workers' pids to the parent, then run as long as it and they do."""
    ours, held = os.pipe()
    pids = [fork("VLLM::Worker", mood.deaf, outlast_lifeline, ours) for _ in range(mood.workers)]
    signal.signal(signal.SIGCHLD, lambda *_: os._exit(1))
    os.write(3, json.dumps(pids).encode())
    outlast_lifeline()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.close(held)
    for pid in pids:
        os.waitpid(pid, 0)


def be_orphan() -> None:
    """Outlive the engine, for a limited time."""
    signal.alarm(300)
    while True:
        signal.pause()
