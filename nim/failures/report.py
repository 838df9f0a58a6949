"""The last word: why the service ended, for a human, for Kubernetes, for a reader of the run directory."""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from nim.failures.exit import Exit
from nim.log_format import visible
from nim.logging.log_writer import LogWriter
from nim.logging.records import Record
from nim.state import Failure

TERMINATION_LOG = Path("/dev/termination-log")
# As much as Kubernetes keeps.
TERMINATION_BYTES = 4096


def tell(log_writer: LogWriter, level: str, failure: Failure, what: str, end: Exit) -> None:
    """Say it on stderr as one block, or as one record for machines."""
    message = f"{what} lost: {failure.kind} ({end}): {failure.message}"
    told = {"kind": failure.kind, "hint": failure.hint, "log": failure.log}
    log_writer.block(block(failure, what, end), Record(level=level, message=message), **told)


def block(failure: Failure, what: str, end: Exit) -> str:
    """The failure as several lines: class, what happened, the log's last lines, what to do."""
    lines = [f"{what} lost: {failure.kind} ({end})", f"  {failure.message}"]
    lines += [f"    | {visible(line)}" for line in failure.log]
    return "\n".join([*lines, f"  hint: {failure.hint}", ""])


def shortened(failure: Failure, what: str, end: Exit) -> str:
    """The same, with fewer lines of the log, so that Kubernetes takes it whole."""
    for first in range(len(failure.log) + 1):
        fewer = Failure(**asdict(failure) | {"log": failure.log[first:]})
        text = block(fewer, what, end)
        if len(text.encode()) <= TERMINATION_BYTES:
            return text
    return text[: TERMINATION_BYTES // 4]


def tell_kubernetes(text: str) -> None:
    """Leave the text where the kubelet reads it, if there is such a place."""
    if TERMINATION_LOG.is_file():
        with suppress(OSError):
            TERMINATION_LOG.write_text(text, encoding="utf-8")


def verdict(exit_code: int, failure: Failure | None, at: float) -> str:
    """The content of verdict.json: how the service ended, and what was lost. `at` is in Unix seconds."""
    told = None if failure is None else asdict(failure)
    return json.dumps({"exit_code": exit_code, "at": at, "failure": told}, ensure_ascii=False)
