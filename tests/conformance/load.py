"""Check that the kubelet's probes are answered while many clients are served."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.conformance.check import Check, check, expect
from tests.conformance.probes import OPERATOR, rounds
from tests.conformance.target import NoAnswer, Target

LOAD: list[Check] = []
STREAMS = 64
TOKENS = 64
OPEN_SECONDS = 60.0


@check(LOAD, "the kubelet's probes are content under load", OPERATOR, "C4")
def under_load(target: Target) -> str:
    question = [{"role": "user", "content": "Tell me a story."}]
    body = {"model": target.served, "messages": question, "max_tokens": TOKENS, "stream": True}
    opened = threading.Event()
    with ThreadPoolExecutor(STREAMS) as pool:
        streams = [pool.submit(_read, target, body, opened) for _ in range(STREAMS)]
        opened.wait(OPEN_SECONDS)
        remark = rounds(target)
        answered = sum(stream.result() for stream in streams)
    expect(answered, f"none of {STREAMS} streams was answered")
    return f"{remark}, beside {answered} streams"


def _read(target: Target, body: dict[str, Any], opened: threading.Event) -> bool:
    """Return whether it was answered to its end."""
    try:
        with target.stream("/v1/chat/completions", body) as answer:
            opened.set()
            return bool(answer.read()) and answer.status == 200
    except NoAnswer:
        return False
