"""The one way to make a Jinja environment: nothing undefined passes, every value is written by its format."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined

from nim.paths import ENGINE_TEMPLATES, NGINX_TEMPLATES

Write = Callable[[Any], str]
"""How a format writes one value: with its quotes, or not at all (TypeError, NimError)."""


def environment(write: Write) -> Environment:
    """An environment in which each `{{ … }}` goes through `write`, so that quoting cannot be forgotten.

    Templates share their text by `include`: what a macro returns would be quoted as one value.
    """

    def finalize(value: Any) -> str:
        if isinstance(value, Undefined):
            return str(value)  # raises UndefinedError, which names the variable
        return write(value)

    return Environment(
        loader=FileSystemLoader([NGINX_TEMPLATES, ENGINE_TEMPLATES]),
        undefined=StrictUndefined,
        finalize=finalize,
        autoescape=False,  # noqa: S701 - no HTML here; `write` quotes
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
