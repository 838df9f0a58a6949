"""The engine's command line: resolved options → `vllm.args`, one JSON string a line, and back."""

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
    """The text of `vllm.args`: command, model, each option in the order given, then `verbatim` as it is."""

    def tokens(name: str, value: Any) -> tuple[str, ...]:
        return option_tokens(table.options[name], value)

    template = environment(json_word).get_template(TEMPLATE)
    return template.render(command=command, model=model, options=options, tokens=tokens, verbatim=verbatim)


def read_args(text: str) -> tuple[str, ...]:
    """The argument list that a `vllm.args` holds."""
    return tuple(json.loads(line) for line in text.splitlines())


def json_word(value: Any) -> str:
    """One argument as one line: newlines and all are escaped by JSON."""
    if not isinstance(value, str):
        raise TypeError(f"an argument must be text, not {value!r}")
    return json.dumps(value)
