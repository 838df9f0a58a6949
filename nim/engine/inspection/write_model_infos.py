"""Inspect the installed vLLM's model classes at set-up, so that no first start has to.

At the first start of a model, vLLM inspects its class in another process, which takes 8 seconds, and keeps
the result in its cache. Here, one process inspects all classes, and a start copies the results into that
cache (nim/preflight/fill_engine_cache.py). vLLM takes a result only if its hash is that of the installed
source.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from nim.data_paths import ENGINE_CACHE
from nim.engine.find_installed_engine import find_engine
from nim.engine.inspection.pretend_gpu_build import QUIET

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a JSON file for each class that can be imported; return 0, or 7 without vLLM. Imports vLLM."""
    parser = argparse.ArgumentParser(prog="python -m nim.engine.inspection.write_model_infos")
    parser.add_argument("--out", type=Path, default=ENGINE_CACHE, metavar="DIR")
    parser.add_argument("architectures", nargs="*", metavar="ARCHITECTURE", help="default: all of them")
    options = parser.parse_args(arguments)
    engine = find_engine()
    if engine is None:
        sys.stderr.write("cannot inspect model classes: vLLM is not installed\n")
        return 7
    directory: Path = options.out / engine.version
    os.environ.update(QUIET, VLLM_CACHE_ROOT=str(directory))
    logging.disable()  # vLLM complains of its own classes
    if engine.command[1] == "-m":
        importlib.import_module(engine.command[2])  # for the CPU build, whose distribution is not named vllm
    failed = _inspect(options.architectures)
    written = len(list(directory.rglob("*.json")))
    sys.stdout.write(f"{directory}: {written} model classes; {failed} architectures cannot be imported\n")
    return 0


def _inspect(architectures: Sequence[str]) -> int:
    """Have vLLM inspect these architectures (none: all), which writes its cache; return how many failed."""
    from vllm.model_executor.models import registry

    registry._run_in_subprocess = _call  # noqa: SLF001 - vLLM imports a class in a new process each time
    models = registry.ModelRegistry.models
    failed = 0
    for name in architectures or list(models):
        try:
            models[name].inspect_model_cls()
        except Exception:  # whatever a module raises that needs a GPU or a package
            failed += 1
    return failed


def _call(function: Callable[[], T]) -> T:
    """Return what `function` returns."""
    return function()


if __name__ == "__main__":
    sys.exit(main())
