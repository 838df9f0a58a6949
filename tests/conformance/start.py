"""Checks of the start: the health routes while the model loads."""

import http.client
import socket
import time

from tests.conformance.check import Check, Failed, Skipped, check, expect
from tests.conformance.image import operator_environment
from tests.conformance.target import Beginning, NoAnswer, Target

START: list[Check] = []
DOCUMENTED = "NIM documentation, health routes"
SCAN_INTERVAL_SECONDS = 0.2
# Before the operator's first liveness probe.
LIVE_SECONDS = 15.0


def begin(target: Target, ready_seconds: float) -> None:
    """Start the image as the operator does, and wait until it is ready or has ended."""
    assert target.launcher
    port, health_port = free_ports()
    target.url, target.health_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{health_port}"
    begun = time.monotonic()
    env = operator_environment(target.launcher.store(), port, health_port)
    target.running = target.launcher.serve(env, (port, health_port))
    target.beginning = seen = Beginning()
    while time.monotonic() < begun + ready_seconds and target.running.alive():
        look = _status(target, "live"), _status(target, "ready")
        seen.looks.append(look)
        if seen.answered_after is None and look != (None, None):
            seen.answered_after = time.monotonic() - begun
        if look[1] == 200:
            seen.chat = _chat(target)
            return
        time.sleep(SCAN_INTERVAL_SECONDS)


def _status(target: Target, word: str) -> int | None:
    try:
        return target.get(f"/v1/health/{word}", within=5).status
    except NoAnswer:
        return None


def _chat(target: Target) -> str:
    """Return what the first question meets: a status, or what went wrong instead."""
    question = [{"role": "user", "content": "Hello!"}]
    try:
        body = {"model": target.served, "messages": question, "max_tokens": 1}
        return str(target.post("/v1/chat/completions", body).status)
    except (NoAnswer, ValueError, LookupError, http.client.HTTPException) as error:
        return str(error)


def _beginning(target: Target) -> Beginning:
    if target.beginning is None:
        raise Skipped("it was not started here")
    return target.beginning


@check(START, "live answers while it loads", DOCUMENTED, "C1")
def live_while_loading(target: Target) -> str:
    seen = _beginning(target)
    if seen.answered_after is None:
        raise Failed("nobody ever answered")
    loading = [live for live, ready in seen.looks if ready not in (None, 200)]
    if not loading:
        expect(
            seen.answered_after <= LIVE_SECONDS, f"no answer for {seen.answered_after:.0f} s, and then ready"
        )
        raise Skipped("it was ready at the first answer")
    wrong = [live for live in loading if live != 200]
    expect(not wrong, f"answers {wrong[:1]} while ready does not answer 200")
    return f"{len(loading)} looks"


@check(START, "ready fails while it loads, and then is true", DOCUMENTED, "C2")
def ready_while_loading(target: Target) -> None:
    seen = _beginning(target)
    taken = [ready for _, ready in seen.looks if ready is not None and 200 < ready < 400]
    expect(not taken, f"answers {taken[:1]} while it loads, which the kubelet takes for ready")
    expect(seen.looks and seen.looks[-1][1] == 200, "it was never ready")
    expect(seen.chat == "200", f"right after it was ready, a question met {seen.chat}")


def free_ports() -> tuple[int, int]:
    """Return two ports that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
