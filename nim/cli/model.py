"""`nim model`: what the engine reads from a model's files, whether it fits, and its longest context."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence

from nim.cli.machine_options import add_machine_options
from nim.cli.model_fit import Machine, judge, machine_of
from nim.cli.model_output import model_data, model_text
from nim.cli.model_source import find_model
from nim.engine.catalog import load_catalog
from nim.engine.scalars import MisfitError, human_integer
from nim.models.cache import CacheSettings
from nim.models.reading import read_model
from nim.models.types import ModelReading
from nim.settings import read_settings

ABOUT = f"""\
{__doc__}

Only the model's small files are read: for a directory, no GPU, network or engine is needed. The files of a
repository come from the hub's cache, else from the hub. Sizes are per rank. Without --gpus and --hardware,
this machine's GPUs are used."""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim model`: print what was read from the model's files; return 0."""
    options = _parser().parse_args(arguments)
    model = find_model(options.model, read_settings(environ), environ)
    reading, machine = read_model(model.config), machine_of(options, environ)
    cache = _cache_settings(options, reading, machine)
    judgement = judge(model, reading, cache, machine)
    for warning in _warnings(cache, reading):
        print(f"nim: {warning}", file=sys.stderr)
    if options.json:
        print(json.dumps(model_data(reading, cache, judgement), ensure_ascii=False, indent=1))
    else:
        print(model_text(reading, cache, judgement), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    """Return the parser of `nim model`."""
    parser = argparse.ArgumentParser(
        prog="nim model",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="a directory, or hf://org/name[:revision]")
    parser.add_argument("-tp", "--tensor-parallel-size", type=_positive, default=1, metavar="N")
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
    """Return a whole number from 1, in the engine's notation: 8k is 8000."""
    try:
        number = human_integer(text)
    except MisfitError as misfit:
        raise argparse.ArgumentTypeError(misfit.reason) from None
    if number < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is less than 1')
    return number


def _cache_settings(options: argparse.Namespace, reading: ModelReading, machine: Machine) -> CacheSettings:
    """Return the options and GPU properties that determine the size of the cache."""
    own = reading.context.tokens if reading.context else 0
    return CacheSettings(
        context=options.max_model_len or own,
        tensor_parallel_size=options.tensor_parallel_size,
        pipeline_parallel_size=options.pipeline_parallel_size,
        kv_cache_dtype=options.kv_cache_dtype,
        dtype="float16" if machine.capability < (8, 0) else "bfloat16",
        batched_tokens=machine.batched_tokens,
        capability=machine.capability,
    )


def _warnings(cache: CacheSettings, reading: ModelReading) -> Iterator[str]:
    """Yield warnings about the requested context."""
    context = reading.context
    if context and cache.context > context.limit:
        yield (
            f"--max-model-len {cache.context} is above what the engine derives, {context.limit} "
            f"({context.why}): it refuses to start without VLLM_ALLOW_LONG_MAX_MODEL_LEN=1"
        )
