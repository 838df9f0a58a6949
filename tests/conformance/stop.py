"""Checks of the stop by SIGTERM; they run last."""

import os
import signal
import threading
import time

from tests.conformance.check import Check, Failed, Skipped, check, expect
from tests.conformance.target import NoAnswer, Target

STOP: list[Check] = []
OPERATOR = "NIM operator, Kubernetes' default of 30 s"
GRACE_SECONDS = 30.0
OPEN_SECONDS = 60.0
READ_SECONDS = 10.0
LONG_TOKENS = 256
# A clean end, and the convention for one that a signal asked for.
CLEAN = (0, 143)


@check(STOP, "SIGTERM ends it within 30 s", OPERATOR, "C20")
def sigterm(target: Target) -> str:
    """Stop the service during a stream; return what became of the stream."""
    if target.running is None and target.pid is None:
        raise Skipped("a service that is only an address is not stopped: --image, --program or --pid")
    told: list[str] = []
    opened = threading.Event()
    reader = threading.Thread(target=_read_long_answer, args=(target, opened, told), daemon=True)
    reader.start()
    opened.wait(OPEN_SECONDS)
    begun = time.monotonic()
    code = _stop(target)
    seconds = time.monotonic() - begun
    if code is not None:
        expect(code in CLEAN, f"ended with exit code {code}, not {' or '.join(map(str, CLEAN))}")
    reader.join(READ_SECONDS)
    stream = told[0] if told else "nothing is known of its stream"
    return f"{seconds:.1f} s, exit code {'unknown' if code is None else code}; {stream}"


def _read_long_answer(target: Target, opened: threading.Event, told: list[str]) -> None:
    """Read a long answer and record what became of it."""
    question = [{"role": "user", "content": "Tell me a long story."}]
    body = {"messages": question, "max_tokens": LONG_TOKENS, "ignore_eos": True, "stream": True}
    text = b""
    try:
        with target.stream("/v1/chat/completions", {"model": target.served, **body}) as answer:
            text = answer.readline()
            opened.set()
            text += answer.read()
    except (NoAnswer, ValueError) as error:
        told.append(f"a stream was cut: {error}" if text else f"no stream was open: {error}")
    else:
        whole = text.rstrip().endswith(b"[DONE]")
        told.append("a stream came to its end" if whole else f"a stream was cut, or refused: {answer.status}")
    opened.set()


def _stop(target: Target) -> int | None:
    """Return the exit code; None where it is not ours to know."""
    if target.running is not None:
        code = target.running.terminate(GRACE_SECONDS)
        if code is None:
            raise Failed(f"still there after {GRACE_SECONDS:g} s")
        return code
    assert target.pid is not None
    os.kill(target.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while _there(target.pid):
        expect(time.monotonic() < deadline, f"still there after {GRACE_SECONDS:g} s")
        time.sleep(0.1)
    return None


def _there(pid: int) -> bool:
    """Return whether the process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
