"""The values that the engine takes for its variables, found by asking its own readers."""

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

Reader = Callable[[], Any]


def values_of(readers: Mapping[str, Reader]) -> dict[str, dict[str, Any]]:
    """Return a dict: VLLM_* variable → what its reader accepts, without those that accept any text."""
    named = {name: _row(name, read) for name, read in sorted(readers.items()) if name.startswith("VLLM_")}
    return {name: row for name, row in named.items() if row}


def _row(name: str, read: Reader) -> dict[str, Any]:
    """Return what one variable's reader accepts: choices or a kind of number; {} for any text."""
    # vllm.envs keeps the choices of a variable in the closure of its reader.
    known = inspect.getclosurevars(read).nonlocals if inspect.isfunction(read) else {}
    if "choices" in known:
        choices = known["choices"]() if callable(known["choices"]) else known["choices"]
        row = {"choices": [str(choice) for choice in choices]}
        flags = {"folded": not known["case_sensitive"], "list": _takes(name, read, ",")}
        return row | {flag: True for flag, is_set in flags.items() if is_set}
    if _takes(name, read, "some") or _takes(name, read, "true"):
        return {}
    return {"kind": "number" if _takes(name, read, "0.5") else "whole number"}


def _takes(name: str, read: Reader, text: str) -> bool:
    """Return True if the reader accepts this text, tried by setting os.environ for the call."""
    before = os.environ.get(name)
    os.environ[name] = text
    try:
        read()
    except Exception:  # whatever a reader raises
        return False
    finally:
        del os.environ[name]
        os.environ |= {} if before is None else {name: before}
    return True
