"""A bound of the size of structured outputs, checked where vLLM checks that a request has one kind of them.

vLLM has none, and compiling 50,000 choices takes a minute. Every form becomes one class of vLLM's before an
answer begins: `response_format`, `structured_outputs`, schemas of tools, OpenAI's and Anthropic's.
"""

import functools
import json
import os
from collections.abc import Callable
from typing import Any, Self

from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import StructuredOutputsParams

VARIABLE = "NIM_MAX_STRUCTURED_OUTPUT_SIZE"
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}
_KINDS = ("json", "regex", "choice", "grammar", "structural_tag")


def bounded(check: Callable[..., None], most: int) -> Callable[..., None]:
    """Return vLLM's check of structured outputs, `__post_init__`, with one of their size after it."""

    @functools.wraps(check)
    def checked(wanted: Any) -> None:
        """Raise vLLM's error for a bad request, status 400, as vLLM does or for what is too large."""
        check(wanted)
        check_size(wanted, most)

    checked.__dict__["nim_most"] = most
    return checked


def check_size(wanted: Any, most: int) -> None:
    """Raise VLLMValidationError if choices, schema, grammar or expression have too many characters."""
    for kind in _KINDS:
        value = getattr(wanted, kind)
        if value is None:
            continue
        length = len(value) if isinstance(value, str) else len(json.dumps(value, ensure_ascii=False))
        if length > most:
            raise VLLMValidationError(
                f"structured output is too large: {kind} has {length} characters{_count(value)}, and this "
                f"service compiles at most {most} ({VARIABLE})",
                parameter="structured_outputs",
            )


def _count(value: Any) -> str:
    """Return how many choices there are, as words in brackets; an empty text for other kinds."""
    return f" ({len(value)} choices)" if isinstance(value, list) else ""


def most_characters(size: str) -> int | None:
    """Return the number of characters in a size such as 100k; None for 0, which is no limit."""
    unit = _UNITS.get(size[-1:].lower(), 1)
    return int(size.rstrip("kKmMgG")) * unit or None


class BoundedStructuredOutputs:
    """Named by --middleware, so that vLLM loads this module; its application stays as it is."""

    def __new__(cls, app: Any) -> Self:
        """Put the bound into vLLM's check, once; return the application itself."""
        check = StructuredOutputsParams.__post_init__
        most = most_characters(os.environ.get(VARIABLE, "0"))
        if most is not None and not hasattr(check, "nim_most"):
            StructuredOutputsParams.__post_init__ = bounded(check, most)
        return app  # type: ignore[no-any-return]
