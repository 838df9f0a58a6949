"""Report why the service ended: on stderr, for Kubernetes, and in the run directory."""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from nim.failures.program_exit import ProgramExit
from nim.log_format import visible
from nim.logging.log_line_parsers import Record
from nim.logging.log_writer import LogWriter
from nim.service_state import Failure

TERMINATION_LOG = Path("/dev/termination-log")
# The limit of Kubernetes.
TERMINATION_BYTES = 4096


def log_failure(log_writer: LogWriter, level: str, failure: Failure, what: str, end: ProgramExit) -> None:
    """Write a failure to stderr through the log writer: a block of text, or one JSON record."""
    message = f"{what} lost: {failure.kind} ({end}): {failure.message}"
    fields = {"kind": failure.kind, "hint": failure.hint, "log": failure.log}
    log_writer.block(failure_text(failure, what, end), Record(level=level, message=message), **fields)


def failure_text(failure: Failure, what: str, end: ProgramExit) -> str:
    """Return the failure as text of several lines: class, message, last log lines, hint."""
    lines = [f"{what} lost: {failure.kind} ({end})", f"  {failure.message}"]
    lines += [f"    | {visible(line)}" for line in failure.log]
    return "\n".join([*lines, f"  hint: {failure.hint}", ""])


def failure_text_for_kubernetes(failure: Failure, what: str, end: ProgramExit) -> str:
    """Return the failure as text of at most 4096 bytes, with as many of its log lines as fit."""
    for first in range(len(failure.log) + 1):
        fewer = Failure(**asdict(failure) | {"log": failure.log[first:]})
        text = failure_text(fewer, what, end)
        if len(text.encode()) <= TERMINATION_BYTES:
            return text
    return text[: TERMINATION_BYTES // 4]


def write_termination_log(text: str) -> None:
    """Write the text to /dev/termination-log; nothing if that file is missing or cannot be written."""
    if TERMINATION_LOG.is_file():
        with suppress(OSError):
            TERMINATION_LOG.write_text(text, encoding="utf-8")


def verdict_json(exit_code: int, failure: Failure | None, at: float) -> str:
    """Return the text of verdict.json: exit code, time in Unix seconds, failure or null."""
    fields = None if failure is None else asdict(failure)
    return json.dumps({"exit_code": exit_code, "at": at, "failure": fields}, ensure_ascii=False)
