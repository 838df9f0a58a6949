"""Run a function in a forked process, which shares the imported modules, and return its result."""

import os
import pickle
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 900
Verdict = dict[str, Any]


def run_forked(function: Callable[[], Verdict]) -> Verdict:
    """Return what `function` returns in a child that has this process's modules, or why it cannot."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(SECONDS)
        try:
            found = function()
        except Exception as error:
            found = describe_error(error)
        with os.fdopen(writing, "wb") as answer:
            pickle.dump(found, answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        data = answer.read()
    _, status = os.waitpid(child, 0)
    return dict(pickle.loads(data)) if data else {"error": f"the engine's process ended with status {status}"}


def describe_error(error: Exception) -> Verdict:
    """Return vLLM's words, without pydantic's around them; of a bare assertion, its source line."""
    traceback.print_exception(error)
    text = str(error).strip().partition(" Supported architectures: dict_keys")[0]
    if not text:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return {"error": f"{type(error).__name__}: {Path(frame.filename).name}: {frame.line}"}
    if "Value error, " in text:
        text = text.partition("Value error, ")[2].partition(" [type=")[0]
    if not isinstance(error, ValueError | AssertionError | NotImplementedError):
        text = f"{type(error).__name__}: {text}"
    return {"error": " ".join(text.split())[:400]}
