"""Let the pinned vLLM judge starts: a JSON object with `model` and `tokens` a line, an answer a line.

An answer is the refusal or null. `python -m tests.oracle.starts 9.0` judges on a GPU of capability 9.0. The
arguments are parsed and checked as `vllm serve` does, the model is built on the meta device, and adapters are
switched on as a worker does it. Each start has a process of its own; no weight is read.
"""

import importlib
import json
import os
import sys
import tempfile
from functools import partial
from typing import Any

from nim.engine.inspection.pretend_gpu_build import pretend_gpu_build
from tests.oracle import judge
from tests.oracle.build import build_model, import_model
from tests.oracle.forks import run_forked
from tests.oracle.gpu import GPUS
from tests.oracle.world import Place

MODULES = (*judge.MODULES, "vllm.entrypoints.launchers.cli_args", "vllm.v1.worker.lora_model_runner_mixin")


def main() -> None:
    """Judge what stdin names, one start after the other."""
    platform = sys.argv[1]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what vLLM prints
    with tempfile.TemporaryDirectory() as directory:
        pretend_gpu_build(GPUS[platform], directory)
        judge.import_engine(MODULES)
        for line in sys.stdin:
            request = json.loads(line)
            verdict = run_forked(partial(judge_start, request["model"], request["tokens"]))
            print(json.dumps(verdict.get("error")), file=answers, flush=True)


def judge_start(model: str, tokens: list[str]) -> dict[str, Any]:
    """Return nothing where vLLM would go on to load the weights; it raises what it refuses with."""
    config = _configure(model, tokens)
    import_model(config)
    place = Place(tensor_parallel=config.parallel_config.tensor_parallel_size)
    built = build_model(config, place)
    if config.lora_config:
        _switch_adapters_on(built, config)
    return {}


def _configure(model: str, tokens: list[str]) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.usage.usage_lib import UsageContext
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser(prog="vllm")
    serve = make_arg_parser(parser.add_subparsers(dest="subparser").add_parser("serve"))
    for each in (parser, serve):
        each.error = _refuse
    args = parser.parse_args(["serve", model, "--skip-tokenizer-init", *tokens])
    args.model = args.model_tag
    validate_parsed_serve_args(args)
    arguments = AsyncEngineArgs.from_cli_args(args)
    return arguments.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)


def _refuse(message: str) -> None:
    raise ValueError(message)


def _switch_adapters_on(model: Any, config: Any) -> None:
    """Ask what `load_lora_model` asks before it creates a manager, which needs a device."""
    mixin: Any = importlib.import_module("vllm.v1.worker.lora_model_runner_mixin")

    def manager(*_: Any, **__: Any) -> Any:
        raise _AcceptedError

    mixin.LRUCacheWorkerLoRAManager = manager
    try:
        mixin.LoRAModelRunnerMixin().load_lora_model(model, config, None)
    except _AcceptedError:
        return


class _AcceptedError(Exception):
    """The check came to its end."""


if __name__ == "__main__":
    main()
