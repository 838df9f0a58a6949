"""vLLM's own parser in a process of its own: one JSON request and answer per line.

The first answer is the option table that the installed vLLM makes. A request is a list of tokens and the
values they should give; the answer is what differs, or vLLM's own refusal.
"""

import argparse
import json
import os
import sys
from typing import Any, TextIO

Request = dict[str, Any]


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever vLLM prints

    from nim.engine.generate_option_table import installed_table, table_text

    _answer(answers, table_text(installed_table()))
    parser = _vllm()
    for line in sys.stdin:
        _answer(answers, _judge(parser, json.loads(line)))


def _vllm() -> Any:
    """Return the parser as the `vllm` program builds it, with `serve` alone."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser(prog="vllm")
    serve = make_arg_parser(parser.add_subparsers(dest="subparser").add_parser("serve"))
    defaults = {action.dest: action.default for action in serve._actions}
    for each in (parser, serve):
        each.error = _raise
    return parser, defaults


def _raise(message: str) -> None:
    raise ValueError(message)


def _judge(judges: Any, request: Request) -> Any:
    parser, defaults = judges
    try:
        found = vars(parser.parse_args(["serve", "some/model", *request["tokens"]]))
    except (ValueError, TypeError, IndexError, argparse.ArgumentTypeError) as error:
        return {"refused": str(error)}
    found = {name: value for name, value in found.items() if name in defaults and name != "model_tag"}
    differ = {
        name: repr(found.get(name))
        for name, value in request["values"].items()
        if not _same(found, name, value)
    }
    untouched = {name for name in found if name not in request["values"]}
    differ.update({name: repr(found[name]) for name in untouched if found[name] != defaults[name]})
    return {"differ": differ}


def _same(found: dict[str, Any], name: str, ours: Any) -> bool:
    from pydantic import TypeAdapter

    theirs: Any = found.get(name)
    if name == "lora_modules":
        return [_module(item) for item in ours] == [(item.name, item.path) for item in theirs or ()]
    if hasattr(theirs, "__dataclass_fields__"):
        if "engine_id" in theirs.__dataclass_fields__:
            ours = {"engine_id": theirs.engine_id, **ours}  # drawn by chance where it is not given
        ours = TypeAdapter(type(theirs)).validate_json(json.dumps(ours))
        return bool(ours == theirs)
    return bool(type(ours) is type(theirs) and ours == theirs)


def _module(item: Any) -> tuple[str, ...]:
    return tuple(item.split("=", 1)) if isinstance(item, str) else (item["name"], item["path"])


def _answer(answers: TextIO, answer: Any) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
