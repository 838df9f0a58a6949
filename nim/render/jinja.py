"""Jinja environments in which undefined names fail and every value is quoted for its format."""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError  # nosec B403
from typing import Any

from jinja2 import (
    Environment,
    FileSystemBytecodeCache,
    FileSystemLoader,
    StrictUndefined,
    Undefined,
    pass_context,
)
from jinja2.bccache import Bucket
from jinja2.runtime import Context

from nim.data_paths import ENGINE_TEMPLATES, NGINX_TEMPLATES

Write = Callable[[Any], str]
"""Formats one value, quoted for its target; TypeError or NimError if it cannot be written."""

BYTECODE = Path(__file__).parent / "__pycache__"
"""Compiled templates lie beside the compiled modules, and as trusted."""


class _BytecodeCache(FileSystemBytecodeCache):
    """Compiled templates in files, written where and when Python may write its own bytecode."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Read a compiled template; nothing from a file that is missing, unreadable or damaged."""
        with suppress(OSError, EOFError, UnpicklingError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Write a compiled template; nothing in a directory that cannot be written."""
        if sys.dont_write_bytecode:
            return
        with suppress(OSError):
            Path(self.directory).mkdir(exist_ok=True)
            super().dump_bytecode(bucket)


def environment(write: Write) -> Environment:
    """Return a Jinja Environment in which `write` quotes every `{{ … }}` and undefined names raise.

    Templates share text by `include`: the result of a macro would be quoted as one value.
    """

    # With the context, Jinja calls it for constants too only while rendering: compiled templates are the same
    # for every `write`.
    @pass_context
    def finalize(_: Context, value: Any) -> str:
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
        bytecode_cache=_BytecodeCache(str(BYTECODE), "template-%s.pyc"),
    )


def compile_templates() -> None:
    """Compile every template and write its bytecode, for an image whose files cannot be written later."""
    compiling = environment(str)
    for name in compiling.list_templates(extensions=["j2"]):
        compiling.get_template(name)


if __name__ == "__main__":
    compile_templates()
