"""Client of supervisord: XML-RPC calls over its socket, and the lines of its log.

`xmlrpc.client` would cost PID 1 27 ms and a third of its memory; the answers used here are flat structs.
"""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from signal import Signals
from time import monotonic

from nim.failures.program_exit import ProgramExit
from nim.plan import SUPERVISOR_SOCKET

# It answers in 2 ms; if it hangs, the event loop must not.
ANSWER_SECONDS = 3.0

_HEAD = "POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n"
_BODY = (
    '<?xml version="1.0"?><methodCall><methodName>supervisor.{method}</methodName>'
    "<params>{parameters}</params></methodCall>"
)
_MEMBER = re.compile(r"<name>(\w+)</name>\s*<value><\w+>([^<]*)</")
_STARTED = re.compile(r"supervisord started with pid \d+$")
_ENDED = re.compile(r"(?:exited|stopped): (\w+) \((?:exit status (\d+)|terminated by (SIG\w+))")
# Routine lines, and warnings that do not apply to a private socket in a private directory.
_ROUTINE = re.compile(
    r"running as root|without any HTTP authentication|RPC interface|supervisord started|spawned: |success: |"
    r"exited: |stopped: |waiting for |received SIG|Set uid|Increased "
)
_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (\w{4}) (.*)")
_LEVELS = {"CRIT": "CRITICAL", "ERRO": "ERROR", "WARN": "WARNING", "INFO": "INFO"}


class SupervisorError(Exception):
    """A call to supervisord failed."""


class Supervisor:
    """A running supervisord. `catch_up` reads its pending log lines and passes each to `note`."""

    def __init__(self, run_dir: str, catch_up: Callable[[], None]) -> None:
        self._socket = str(Path(run_dir) / SUPERVISOR_SOCKET)
        self._catch_up = catch_up
        self._ends: dict[str, ProgramExit] = {}
        self.on_up: Callable[[], None] = lambda: None

    def note(self, line: str) -> tuple[str, str]:
        """Return (level, message) of a line of supervisord's log; record exits, call `on_up` at its start."""
        match = _LINE.fullmatch(line)
        level, message = (_LEVELS.get(match[1], "DEBUG"), match[2]) if match else ("ERROR", line)
        if match and (end := _ENDED.match(message)):
            signal = Signals[end[3]] if end[3] in Signals.__members__ else None
            self._ends[end[1]] = ProgramExit(code=int(end[2]) if end[2] else None, signal=signal)
        if match and _STARTED.match(message):
            self.on_up()
        return "DEBUG" if match and _ROUTINE.search(message) else level, message

    def start(self, name: str) -> int | None:
        """Start a program unless it runs; return its pid, None if it has ended, or SupervisorError."""
        self._ends.pop(name, None)
        try:
            self._call("startProcess", name, False)
        except SupervisorError as error:
            if "ALREADY_STARTED" not in str(error):
                raise
        return int(self._call("getProcessInfo", name)["pid"]) or None

    def stop(self, name: str) -> None:
        """Have supervisord send a program its stop signal, without waiting; SupervisorError if that fails."""
        self._call("stopProcess", name, False)

    def shut_down(self) -> None:
        """Call supervisord's `shutdown`: it stops all programs and exits. SupervisorError if unreachable."""
        self._call("shutdown")

    def end_of(self, name: str) -> ProgramExit:
        """Return the ProgramExit of a program that has just ended, within 3 s; an empty one if unknown."""
        deadline = monotonic() + ANSWER_SECONDS
        while name not in self._ends and monotonic() < deadline:
            alive = int(self._call("getProcessInfo", name)["pid"])
            self._catch_up()
            if not alive:
                break
        return self._ends.pop(name, ProgramExit())

    def _call(self, method: str, *arguments: str | bool) -> dict[str, str]:
        """Call a method of supervisord; return the answer's struct as a dict, else {}. Or SupervisorError."""
        try:
            answer = self._exchange(_request(method, arguments))
        except OSError as error:
            raise SupervisorError(f"cannot reach supervisord for {method}: {error}") from error
        members = dict(_MEMBER.findall(answer))
        if "<methodResponse>" not in answer or "faultString" in members:
            raise SupervisorError(f"cannot {method}{arguments}: {members.get('faultString', answer[:100])}")
        return members

    def _exchange(self, request: bytes) -> str:
        """Send an HTTP request to supervisord's unix socket; return the answer as text, or OSError."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(ANSWER_SECONDS)
            link.connect(self._socket)
            link.sendall(request)
            parts = []
            while part := link.recv(65536):
                parts.append(part)
        return b"".join(parts).decode(errors="replace")


def _request(method: str, arguments: tuple[str | bool, ...]) -> bytes:
    """Return an XML-RPC call as the bytes of an HTTP request."""
    values = "".join(
        f"<param><value><boolean>{argument:d}</boolean></value></param>"
        if isinstance(argument, bool)
        else f"<param><value><string>{argument}</string></value></param>"
        for argument in arguments
    )
    body = _BODY.format(method=method, parameters=values)
    return (_HEAD.format(length=len(body)) + body).encode()
