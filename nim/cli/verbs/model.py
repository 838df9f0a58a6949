"""`nim model`: what the engine reads from a model's files, whether it fits, and its longest context."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence

from nim.cli.find_model_config import find_model
from nim.cli.judge_model import Judgement, judge, machine_of
from nim.cli.machine_options import add_machine_options
from nim.cli.output.model import model_data, model_text
from nim.engine.arguments.read_numbers_and_names import MisfitError, human_integer
from nim.engine.supported_names_catalog import load_catalog
from nim.log_format import visible
from nim.models.config.warn_implausible_sizes import odd_sizes
from nim.models.facts import facts_of
from nim.models.types import ModelReading
from nim.settings import read_settings

ABOUT = f"""\
{__doc__}

Only the model's small files are read: for a directory, no GPU, network or engine is needed. The files of a
repository come from the hub's cache, else from the hub. Sizes are per rank. Without --gpus and --hardware,
this machine's GPUs are used."""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim model`: print what the engine reads from a model's files and whether it fits; return 0."""
    options = _parser().parse_args(arguments)
    model = find_model(options.model, read_settings(environ), environ)
    facts = facts_of(model.config)
    judgement = judge(model, facts, options, machine_of(options, environ))
    for warning in (*odd_sizes(model.config), *_warnings(judgement, facts.reading)):
        print(f"nim: {visible(warning)}", file=sys.stderr)
    if options.json:
        print(json.dumps(model_data(facts.reading, judgement), ensure_ascii=False, indent=1))
    else:
        print(model_text(facts.reading, judgement), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    """Return the ArgumentParser of `nim model`."""
    parser = argparse.ArgumentParser(
        prog="nim model",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="a directory, or hf://org/name[:revision]")
    parser.add_argument(
        "-tp",
        "--tensor-parallel-size",
        type=_positive,
        metavar="N",
        help="by default the size that `nim plan` chooses for the GPUs, 1 without GPUs",
    )
    parser.add_argument("-pp", "--pipeline-parallel-size", type=_positive, default=1, metavar="N")
    parser.add_argument(
        "--max-model-len", type=_positive, metavar="N", help="the context, such as 32768 or 32k"
    )
    parser.add_argument(
        "--kv-cache-dtype",
        default="auto",
        choices=load_catalog().names("kv_cache_dtypes"),
        metavar="TYPE",
        help="such as fp8",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object; unknown values are null")
    add_machine_options(parser)
    return parser


def _positive(text: str) -> int:
    """Return the whole number in `text`, where 8k is 8000; ArgumentTypeError if it is below 1."""
    try:
        number = human_integer(text)
    except MisfitError as misfit:
        raise argparse.ArgumentTypeError(misfit.reason) from None
    if number < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is less than 1')
    return number


def _warnings(judgement: Judgement, reading: ModelReading) -> Iterator[str]:
    """Yield a warning as text if the context asked for is above what the engine derives."""
    context, asked = reading.context, judgement.context
    if context and context.limit is not None and asked and asked > context.limit:
        yield (
            f"--max-model-len {asked} is above what the engine derives, {context.limit} ({context.why}): "
            "it refuses to start without VLLM_ALLOW_LONG_MAX_MODEL_LEN=1"
        )
