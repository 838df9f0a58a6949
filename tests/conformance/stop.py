"""The end: what an orchestrator's SIGTERM meets. These come last."""

import os
import signal
import time

from tests.conformance.check import Check, Failed, Skipped, check, expect
from tests.conformance.target import Target

STOP: list[Check] = []
OPERATOR = "NIM operator, Kubernetes' default of 30 s"
GRACE_SECONDS = 30.0
# A clean end, and the convention for one that a signal asked for.
CLEAN = (0, 143)


@check(STOP, "SIGTERM ends it within 30 s", OPERATOR)
def sigterm(target: Target) -> str:
    begun = time.monotonic()
    code = _stop(target)
    seconds = time.monotonic() - begun
    if code is not None:
        expect(code in CLEAN, f"ended with exit code {code}, not {' or '.join(map(str, CLEAN))}")
    return f"{seconds:.1f} s, exit code {'unknown' if code is None else code}"


def _stop(target: Target) -> int | None:
    """The exit code; None where it is not ours to know."""
    if target.running is not None:
        code = target.running.terminate(GRACE_SECONDS)
        if code is None:
            raise Failed(f"still there after {GRACE_SECONDS:g} s")
        return code
    if target.pid is None:
        raise Skipped("a service that is only an address is not stopped: --image, --program or --pid")
    os.kill(target.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while _there(target.pid):
        expect(time.monotonic() < deadline, f"still there after {GRACE_SECONDS:g} s")
        time.sleep(0.1)
    return None


def _there(pid: int) -> bool:
    """Running; a zombie has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
