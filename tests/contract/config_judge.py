"""vLLM's own checks of a configuration, from a process of its own: one JSON request and answer per line.

A request has the tokens of `vllm serve`, the model among them. The answer is the refusal of
`validate_parsed_serve_args` or of `create_engine_config`, or null where the engine would go on to load.
Or it has an adapter's directory and a limit of ranks; the answer is what the engine says against its files.
Or it has a variable and its value; the answer is what the variable's reader says against it.
"""

import argparse
import json
import os
import sys
from typing import Any, TextIO


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever vLLM prints
    parser = _parser()
    _answer(answers, None)
    for line in sys.stdin:
        request = json.loads(line)
        if "adapter" in request:
            found = _adapter(request["adapter"], request["limit"])
        elif "variable" in request:
            found = _variable(request["variable"], request["value"])
        else:
            found = _refusal(parser, request["tokens"])
        _answer(answers, found)


def _variable(name: str, value: str) -> str | None:
    from vllm import envs

    os.environ[name] = value
    try:
        envs.environment_variables[name]()
    except Exception as error:  # whatever a reader raises
        return str(error) or type(error).__name__
    finally:
        del os.environ[name]
    return None


def _parser() -> Any:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser(prog="vllm")
    serve = make_arg_parser(parser.add_subparsers(dest="subparser").add_parser("serve"))
    for each in (parser, serve):
        each.error = _raise
    return parser


def _raise(message: str) -> None:
    raise ValueError(message)


def _refusal(parser: Any, tokens: list[str]) -> str | None:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import validate_parsed_serve_args
    from vllm.usage.usage_lib import UsageContext

    try:
        args = parser.parse_args(["serve", *tokens])
        args.model = args.model_tag
        validate_parsed_serve_args(args)
        AsyncEngineArgs.from_cli_args(args).create_engine_config(UsageContext.OPENAI_API_SERVER)
    except (Exception, argparse.ArgumentTypeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _adapter(directory: str, limit: int) -> str | None:
    from vllm.config.lora import LoRAConfig
    from vllm.lora.peft_helper import PEFTHelper

    try:
        helper = PEFTHelper.from_local_dir(directory, None)
        helper.validate_legal(LoRAConfig(max_lora_rank=limit))
    except Exception as error:  # whatever a broken file raises
        return f"{type(error).__name__}: {error}"
    return None


def _answer(answers: TextIO, answer: Any) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
