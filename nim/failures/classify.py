"""Classify the loss of the engine from the end of its log and from how it exited."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from signal import SIGKILL

from nim.failures.failure_classes import FAILURE_CLASSES, FETCH, HOST_OOM, STALLED, UNKNOWN, FailureClass
from nim.failures.program_exit import ProgramExit
from nim.frozen_dataclass import frozen_dataclass
from nim.logging.log_line_parsers import Record
from nim.service_state import Failure

# Number of log lines in a failure report.
REPORTED_LINES = 12
HINT = "hint: "

# Traceback frames, what libraries print at exit, vLLM's own cleanup.
_NOISE = re.compile(
    r"^(?:\(\S+ pid=\d+\) )?(?:\[\S+:\d+\] )?"
    r"(?:\s(?!\s*Value error)|\^|Triton is installed|Traceback |nanobind: |See https?://|\[shutdown\]|"
    r"During handling|The above exception|$)"
)
_PREFIX = re.compile(r"\(\S+ pid=\d+\) ")
_KILLED = re.compile(r"exit code: -9|': -9|died unexpectedly")


@frozen_dataclass
class Loss:
    """What is known about the exit of an engine. `log` is the end of its log, oldest first.

    `lost_part`: a process of the engine that ended before it. `kernel_killed`: the kernel killed a process
    for lack of memory since the start. `was_ready`: it had served. `stalled`: why it was killed as stalled.
    """

    end: ProgramExit
    log: Sequence[Record]
    lost_part: str | None = None
    kernel_killed: bool = False
    was_ready: bool = False
    stalled: str | None = None


def classify(loss: Loss) -> tuple[FailureClass, Failure]:
    """Return (FailureClass of a loss, Failure that reports the loss with the last log lines)."""
    kind, sign = _class_of_loss(loss)
    failure = Failure(
        kind=kind.name,
        message=_message(loss) if kind in (STALLED, UNKNOWN) else kind.message,
        hint=kind.hint if kind is not FETCH else _said_hint(loss.log) or kind.hint,
        log=tuple(_report_lines(loss.log, sign)),
        exit_code=loss.end.code,
        signal=loss.end.signal,
    )
    return kind, failure


def failure_of_class(kind: FailureClass, end: ProgramExit, log: tuple[str, ...], run_dir: Path) -> Failure:
    """Return the Failure of a known class, with its message and hint, the log's last lines and the exit."""
    return Failure(
        kind=kind.name,
        message=kind.message,
        hint=kind.hint.replace("RUN_DIR", str(run_dir)),
        log=log,
        exit_code=end.code,
        signal=end.signal,
    )


def _said_hint(log: Sequence[Record]) -> str | None:
    """Return the hint that the service's own downloader logged; None without one."""
    said = (record.message for record in reversed(log))
    return next((text.removeprefix(HINT) for text in said if text.startswith(HINT)), None)


def _class_of_loss(loss: Loss) -> tuple[FailureClass, Record | None]:
    """Return (FailureClass of a loss, the log Record that shows the class or None)."""
    if loss.stalled:
        return STALLED, None
    return (HOST_OOM, None) if _out_of_memory(loss) else _find(loss)


def kernel_kills(directory: Path = Path("/")) -> int | None:
    """Return the kernel's count of OOM kills, read from the cgroup or /proc/vmstat; None if unreadable."""
    for name in ("sys/fs/cgroup/memory.events", "proc/vmstat"):
        try:
            lines = (directory / name).read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
    return None


def _out_of_memory(loss: Loss) -> bool:
    """Return whether the kernel killed a process of the lost engine for lack of memory."""
    if not loss.kernel_killed:
        return False
    logged_kill = any(_KILLED.search(record.message) for record in loss.log)
    return loss.end.signal == SIGKILL or loss.lost_part is not None or logged_kill


def _message(loss: Loss) -> str:
    """Return a sentence on why the engine was lost, for a stalled engine or an unknown loss."""
    if loss.stalled:
        return f"{STALLED.message}: {loss.stalled}"
    if loss.end.why is not None:
        return f"the engine could not be started: {loss.end.why}"
    if loss.lost_part:
        return f"{loss.lost_part}, a process of the engine, had ended before it"
    if loss.end.signal is not None:
        return f"the engine was {loss.end}, which was not requested"
    return UNKNOWN.message


def _find(loss: Loss) -> tuple[FailureClass, Record | None]:
    """Return the first FailureClass with a sign in the log, and that Record; (UNKNOWN, None) without any.

    After a successful start, classes that prevent any start are ruled out: their signs then come from log
    lines about client requests, or from errors during shutdown.
    """
    bad = [record for record in loss.log if not _is_informational(record)]
    for kind in [kind for kind in FAILURE_CLASSES if kind.retry or not loss.was_ready]:
        for record in bad:
            if kind.matches(record.message):
                return kind, record
    return UNKNOWN, None


def _is_informational(record: Record) -> bool:
    """Return whether a record is vLLM's own INFO or DEBUG, which may quote user text and is no evidence."""
    return record.level in ("DEBUG", "INFO") and bool(_PREFIX.match(record.message))


def _report_lines(log: Sequence[Record], sign: Record | None) -> Iterator[str]:
    """Yield the last 12 meaningful log lines as text, preceded by the one that shows the class."""
    said = [record for record in log if not _NOISE.match(record.message)]
    if any(record.level in ("ERROR", "CRITICAL") for record in said):
        said = [record for record in said if not _is_informational(record)]
    last = said[-REPORTED_LINES:]
    if sign and sign not in last:
        yield sign.message.strip()
    yield from _without_repeats(record.message for record in last)


def _without_repeats(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines without consecutive duplicates."""
    before = None
    for line in lines:
        if line != before:
            yield line
        before = line
