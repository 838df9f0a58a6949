"""Parse log lines into level and message, with one parser for each program."""

import re

from nim.frozen_dataclass import frozen_dataclass

# All repetitions are bounded: a line can be long and hold anything, and parsing must stay fast.
_SPEAKER = r"[^\n(]{0,64}\([^\s()]{1,64} pid=\d{1,10}\) "
_VLLM = re.compile(rf"({_SPEAKER})([A-Z]+) \d\d-\d\d \d\d:\d\d:\d\d (.*)", re.DOTALL)
_UVICORN = re.compile(r"([A-Z]+):\s+(.*)", re.DOTALL)
_GLOG = re.compile(r"\[?([IWEF])\d{4} \d\d:\d\d:\d\d")
_WARNING = re.compile(r"\S+:\d+: \w*Warning: ")
# A query has no spaces: it ends before the quote that closes the address, the version, or with the line.
_QUERY = re.compile(r"(?<=[\w/.~%-])\?\S*?(?=\", |\"$| HTTP/|$)")
_REFERRER = re.compile(r", referrer: .*$")
_NGINX = re.compile(r"(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d|nginx:) \[(\w+)\] (.*)", re.DOTALL)
_LOGGING = re.compile(r"([A-Z]+) ([\w.]+: .*)", re.DOTALL)
_ACCESS = re.compile(r'([A-Z]+) |.*?"level":"([A-Z]+)"')
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Messages of libraries while Python exits, after everything that matters.
_PARTING = re.compile(
    r"nanobind: |\s*- leaked (?:instance|type|function|keep_alive)|\s*- \.\.\. skipped remainder|See https://nanobind"
    r"|\S*resource_tracker\.py:\d+: UserWarning|\s+warnings\.warn\('resource_tracker"
)
# nginx's messages for connections it was told to close; the controller logs how many and why.
_LEFT = re.compile(r"\d+#\d+: (?:\*\d+ open socket #\d+ left in connection \d+|aborting)$")
# Bodies above 4 MB are spooled to disk on purpose; a body above the limit is the client's error.
_BUFFERED = re.compile(r"\d+#\d+: \*\d+ a client request body is buffered to a temporary file ")
_TOO_LARGE = re.compile(r"\d+#\d+: \*\d+ client intended to send too large (?:chunked )?body")
_WORKER_LOST = re.compile(r"\d+#\d+: worker process (\d+) exited on signal (\d+)")
_TRACEBACK = "Traceback (most recent call last):"

_WORKER_GONE = (
    "worker process {} was ended by signal {}: its streams are cut and cannot be identified; "
    "those of other workers continue, and a new worker replaces it"
)
_SAME = {level: level for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")}
_GLOG_LEVELS = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL"}
# A missing socket is `crit` to nginx but normal while the service starts.
_NGINX_LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "notice": "INFO",
    "warn": "WARNING",
    "error": "ERROR",
    "crit": "ERROR",
}


# Warnings of vLLM that report a choice made by the launcher or the CPU build, and ask nothing of a user.
_ROUTINE_WARNING = re.compile(
    r"Enforce eager set, disabling|Inductor compilation was disabled by user settings|Triton is not installed"
    r"|Reset SSM cache type to |Model Runner V2 requires Triton|FutureWarning: |Warning: NUMA binding: Using "
)

# Lines of the service's own downloader, which runs before the engine in its process.
_DOWNLOAD = re.compile(r"fetch(?:ing|ed) \w+://|\w+://\S+: ")
# In text and in JSON. A request can spell neither: its words have no spaces, its quotes a backslash.
_TIMEOUT = re.compile(r'^[A-Z]+ \S+(?: \S+)? gateway\] (?:-|\S+ \S+) 408 |[^\\]"status":408,')


@frozen_dataclass
class Record:
    """One parsed line. A line without a level is INFO unless it continues an error."""

    level: str
    message: str


def is_routine(record: Record) -> bool:
    """Return whether an engine's Record of a start needs no attention: INFO, or a harmless warning."""
    if _DOWNLOAD.match(record.message):
        return False
    routine = record.level == "WARNING" and _ROUTINE_WARNING.search(record.message)
    return record.level == "INFO" or bool(routine)


class EngineLines:
    """Parser of the engine's output: vLLM, uvicorn, C++ libraries, Python tracebacks and warnings."""

    def __init__(self) -> None:
        self._in_traceback = False

    def read(self, line: str) -> Record:
        """Return the Record of a line of the engine; the lines before it decide a missing level."""
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
        """Return the level of a line that names none: ERROR within a traceback, else WARNING or INFO."""
        if _TRACEBACK in line:
            self._in_traceback = True
        elif self._in_traceback and not line.startswith(" "):
            self._in_traceback = False
            return "ERROR"
        if self._in_traceback:
            return "ERROR"
        return "WARNING" if _WARNING.match(line) else "INFO"


def read_nginx(line: str) -> Record:
    """Return the Record of a line of nginx's error log; ERROR for a line in another form.

    Queries and the referring page, which may contain keys, are removed, as from the access log.
    """
    line = _REFERRER.sub("", _QUERY.sub("", line))
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
    """Return the Record of a line `LEVEL name: message`; ERROR for a line in another form."""
    if (match := _LOGGING.match(line)) and match[1] in _SAME:
        return Record(level=match[1], message=match[2])
    return Record(level="ERROR", message=line)


def read_access(line: str) -> Record:
    """Return the Record of an access log line: the level in it, else INFO, and the whole line."""
    match = _ACCESS.match(line)
    return Record(level=(match[1] or match[2]) if match else "INFO", message=line)


def is_timeout_of_client(line: str) -> bool:
    """Return whether an access log line is of a request that did not arrive in time: status 408."""
    return bool(_TIMEOUT.search(line))
