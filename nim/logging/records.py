"""A line of some program's log → its level and its message, each program in its own dialect."""

import re
from dataclasses import dataclass

# With bounds: a line can be long and hold anything, and this must not take long over it.
_SPEAKER = r"[^\n(]{0,64}\([^\s()]{1,64} pid=\d{1,10}\) "
_VLLM = re.compile(rf"({_SPEAKER})([A-Z]+) \d\d-\d\d \d\d:\d\d:\d\d (.*)", re.DOTALL)
_UVICORN = re.compile(r"([A-Z]+):\s+(.*)", re.DOTALL)
_GLOG = re.compile(r"\[?([IWEF])\d{4} \d\d:\d\d:\d\d")
_WARNING = re.compile(r"\S+:\d+: \w*Warning: ")
_NGINX = re.compile(r"(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d|nginx:) \[(\w+)\] (.*)", re.DOTALL)
_LOGGING = re.compile(r"([A-Z]+) ([\w.]+: .*)", re.DOTALL)
_ACCESS = re.compile(r'([A-Z]+) |.*?"level":"([A-Z]+)"')
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What libraries say of themselves as a Python ends, after everything that matters.
_PARTING = re.compile(
    r"nanobind: |\s*- leaked (?:instance|type|function|keep_alive)|\s*- \.\.\. skipped remainder|See https://nanobind"
    r"|\S*resource_tracker\.py:\d+: UserWarning|\s+warnings\.warn\('resource_tracker"
)
# nginx's words for connections that it was made to leave; how many, and why, is said by whoever ordered that.
_LEFT = re.compile(r"\d+#\d+: (?:\*\d+ open socket #\d+ left in connection \d+|aborting)$")
# Bodies above 4 MB are meant to go there; and one above the limit is its client's error, not ours.
_BUFFERED = re.compile(r"\d+#\d+: \*\d+ a client request body is buffered to a temporary file ")
_TOO_LARGE = re.compile(r"\d+#\d+: \*\d+ client intended to send too large (?:chunked )?body")
_WORKER_LOST = re.compile(r"\d+#\d+: worker process (\d+) exited on signal (\d+)")
_TRACEBACK = "Traceback (most recent call last):"

_WORKER_GONE = (
    "worker process {} was ended by signal {}: its streams are cut, and nobody can name them; "
    "those of other workers go on, and another takes its place"
)
_SAME = {level: level for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")}
_GLOG_LEVELS = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL"}
# A socket that is not there yet is `crit` to nginx, and nothing of the kind to a service that starts.
_NGINX_LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "notice": "INFO",
    "warn": "WARNING",
    "error": "ERROR",
    "crit": "ERROR",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line, read. A line without a level of its own is INFO, unless it goes on with an error."""

    level: str
    message: str


class EngineLines:
    """vLLM's log, uvicorn's, C++ libraries' and Python's own tracebacks and warnings, all in one stream."""

    def __init__(self) -> None:
        self._in_traceback = False

    def read(self, line: str) -> Record:
        """The record of a line, given those that came before."""
        line = _COLOUR.sub("", line)
        if _PARTING.match(line):
            return Record(level="DEBUG", message=line)
        if (match := _VLLM.match(line)) and match[2] in _SAME:
            return Record(level=match[2], message=match[1] + match[3])
        if (match := _UVICORN.match(line)) and match[1] in _SAME:
            return Record(level=match[1], message=match[2])
        if match := _GLOG.match(line):
            return Record(level=_GLOG_LEVELS[match[1]], message=line)
        return Record(level=self._level_of_bare(line), message=line)

    def _level_of_bare(self, line: str) -> str:
        """A traceback is an error, down to the first line that is not indented: the exception itself."""
        if _TRACEBACK in line:
            self._in_traceback = True
        elif self._in_traceback and not line.startswith(" "):
            self._in_traceback = False
            return "ERROR"
        if self._in_traceback:
            return "ERROR"
        return "WARNING" if _WARNING.match(line) else "INFO"


def read_nginx(line: str) -> Record:
    """nginx's error log and what it says before it has one."""
    if match := _NGINX.match(line):
        if _LEFT.match(match[2]) or _BUFFERED.match(match[2]):
            return Record(level="DEBUG", message=match[2])
        if _TOO_LARGE.match(match[2]):
            return Record(level="INFO", message=match[2])
        if lost := _WORKER_LOST.match(match[2]):
            return Record(level="ERROR", message=_WORKER_GONE.format(*lost.groups()))
        return Record(level=_NGINX_LEVELS.get(match[1], "CRITICAL"), message=match[2])
    return Record(level="ERROR", message=line)


def read_middleware(line: str) -> Record:
    """What Python's logging writes as "LEVEL name: message"; anything else it prints is a failure."""
    if (match := _LOGGING.match(line)) and match[1] in _SAME:
        return Record(level=match[1], message=match[2])
    return Record(level="ERROR", message=line)


def read_access(line: str) -> Record:
    """A record that nginx has written in its final form; only its level is of interest."""
    match = _ACCESS.match(line)
    return Record(level=(match[1] or match[2]) if match else "INFO", message=line)
