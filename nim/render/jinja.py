"""Jinja environments in which undefined names fail and every value is quoted for its format."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined

from nim.data_paths import ENGINE_TEMPLATES, NGINX_TEMPLATES

Write = Callable[[Any], str]
"""Formats one value, quoted for its target; TypeError or NimError if it cannot be written."""


def environment(write: Write) -> Environment:
    """Return a Jinja Environment in which `write` quotes every `{{ … }}` and undefined names raise.

    Templates share text by `include`: the result of a macro would be quoted as one value.
    """

    def finalize(value: Any) -> str:
        """Return a value quoted by `write`, with verbatim text unchanged."""
        if isinstance(value, Undefined):
            return str(value)  # raises UndefinedError with the variable's name
        return write(value)

    return Environment(
        loader=FileSystemLoader([NGINX_TEMPLATES, ENGINE_TEMPLATES]),
        undefined=StrictUndefined,
        finalize=finalize,
        autoescape=False,  # noqa: S701 (not HTML; `write` quotes)  # nosec B701
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
