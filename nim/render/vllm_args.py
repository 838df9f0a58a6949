"""Render the engine's command line to `vllm.args` (one JSON string per line) and parse it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nim.engine import OptionTable, option_tokens
from nim.render.jinja import environment

TEMPLATE = "vllm.args.j2"


def render_args(
    command: Sequence[str],
    model: str,
    options: Mapping[str, Any],
    table: OptionTable,
    verbatim: Sequence[str] = (),
) -> str:
    """Return the text of `vllm.args`, a JSON string per line: command, model, options, `verbatim`."""

    def tokens(name: str, value: Any) -> tuple[str, ...]:
        """Return the command-line words of one option as a tuple."""
        return option_tokens(table.options[name], value)

    template = environment(json_word).get_template(TEMPLATE)
    return template.render(command=command, model=model, options=options, tokens=tokens, verbatim=verbatim)


def read_args(text: str) -> tuple[str, ...]:
    """Return the arguments in the text of `vllm.args` as a tuple; no file is read."""
    return tuple(json.loads(line) for line in text.splitlines())


def json_word(value: Any) -> str:
    """Return one argument as a JSON string on a single line; TypeError if it is not text."""
    if not isinstance(value, str):
        raise TypeError(f"an argument must be text, not {value!r}")
    return json.dumps(value)
