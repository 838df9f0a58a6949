"""Let the pinned vLLM judge models: a directory a line on stdin, a verdict a line on stdout.

`echo DIRECTORY | python -m tests.oracle.judge 9.0` judges on a GPU of capability 9.0, `… 10.0` on one of
10.0, and `… cpu` on the CPU build as it is; a second argument such as `1,2` limits the sizes, a third is
`--kv-cache-dtype`. A model is built on the meta device, once for each place in a world of ranks, each
in a process forked when vLLM's modules are loaded. Nothing is downloaded and no weight is read.
"""

import importlib
import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from nim.engine.inspection.pretend_gpu_build import QUIET, pretend_gpu_build
from tests.oracle import stand_ins
from tests.oracle.build import (
    ARGUMENTS,
    build_model,
    create_config,
    create_first_config,
    import_model,
    measure_weights,
    read_facts,
)
from tests.oracle.forks import describe_error, run_forked
from tests.oracle.gpu import GPUS
from tests.oracle.sequence import collect_specs, measure_cache
from tests.oracle.world import Place

SIZES = tuple(range(1, 17))
EXPERT_SIZES = (2, 4, 8)
# What every model needs is loaded once, before the first fork.
MODULES = (
    "torch.testing._internal.distributed.fake_pg",
    "vllm.engine.arg_utils",
    "vllm.model_executor.models.mixtral",
    "vllm.v1.core.single_type_kv_cache_manager",
    "vllm.v1.worker.gpu.attn_utils",
    "vllm.v1.worker.worker_base",
)
_OBJECTS = ("specs", "cache")  # what stages hand over that is no part of a verdict
Verdict = dict[str, Any]


def main() -> None:
    """Judge the models named on stdin, one after the other."""
    platform = sys.argv[1]
    sizes = tuple(map(int, sys.argv[2].split(","))) if sys.argv[2:] else SIZES
    if sys.argv[3:]:
        ARGUMENTS["kv_cache_dtype"] = sys.argv[3]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what vLLM prints
    with tempfile.TemporaryDirectory() as directory:
        _set_platform(platform, directory)
        import_engine(MODULES)
        for line in sys.stdin:
            verdict = run_forked(partial(judge, Path(line.strip()), platform, sizes))
            text = json.dumps(verdict, sort_keys=True).replace(line.strip(), "MODEL")
            print(text, file=answers, flush=True)


def _set_platform(platform: str, directory: str) -> None:
    if platform != "cpu":
        pretend_gpu_build(GPUS[platform], directory)
        return
    os.environ.update(QUIET, VLLM_CACHE_ROOT=directory)
    importlib.import_module("nim.supervision.run_vllm_cpu")  # names vLLM's distribution


def import_engine(modules: tuple[str, ...]) -> None:
    """Import what every model needs, before the first fork."""
    for module in modules:
        importlib.import_module(module)
    from vllm.model_executor.models import registry

    # Classes are inspected in this process: a new one would see the machine as it is.
    registry._run_in_subprocess = lambda function: function()
    stand_ins.do_without_processors()


def judge(directory: Path, platform: str, sizes: tuple[int, ...] = SIZES) -> Verdict:
    """Return what vLLM makes of the model in `directory`."""
    import vllm

    by = "cpu build" if platform == "cpu" else f"cpu build told it has capability {platform}"
    verdict: Verdict = {"vllm": vllm.__version__.partition("+")[0], "judged_by": by}
    try:
        config = create_first_config(directory)
        verdict |= read_facts(config)
        import_model(config)
    except Exception as error:
        return verdict | describe_error(error)
    sizes_of = {"tensor_parallel": sizes}
    if sizes == SIZES and config.model_config.is_moe:
        sizes_of["expert_parallel"] = EXPERT_SIZES
    for name, wanted in sizes_of.items():
        expert = name == "expert_parallel"
        places = [Place(tensor_parallel=size, expert_parallel=expert) for size in wanted]
        verdict[name] = {str(place.tensor_parallel): _judge_place(directory, place) for place in places}
    if sizes == SIZES and config.model_config.is_pp_supported:
        verdict["pipeline_parallel"] = _judge_stages(directory)
    return _lift_layers(verdict)


def _lift_layers(verdict: Verdict) -> Verdict:
    """Return the verdict with the description of caches and layers once, that on one GPU."""
    groups = (verdict.get(f"{kind}_parallel", {}) for kind in ("tensor", "expert", "pipeline"))
    places = [place for group in groups for place in group.values()]
    for name in ("caches", "layers"):
        verdict[name] = verdict["tensor_parallel"]["1"].get(name)
        for place in places:
            place.pop(name, None)
    return verdict


def _judge_place(directory: Path, place: Place) -> Verdict:
    """Return the sizes on one rank, from a process for it."""

    def judge_here() -> Verdict:
        config = create_config(directory, place)
        weights = measure_weights(build_model(config, place))
        return weights | measure_cache(config, collect_specs(config))

    return run_forked(judge_here)


def _judge_stages(directory: Path) -> dict[str, Verdict]:
    """Return the sizes on both ranks of a pipeline of two. What a stage caches depends on the other, too."""
    places = [Place(pipeline_parallel=2, rank=rank) for rank in (0, 1)]

    def build_stage(place: Place) -> Verdict:
        config = create_config(directory, place)
        weights = measure_weights(build_model(config, place))
        return weights | {"specs": collect_specs(config), "cache": config.cache_config}

    stages = [run_forked(partial(build_stage, place)) for place in places]
    if any("error" in stage for stage in stages):
        return {str(rank): stage if "error" in stage else {} for rank, stage in enumerate(stages)}

    def measure_stage(rank: int) -> Verdict:
        config = create_config(directory, places[rank])
        config.cache_config = stages[rank].pop("cache")
        specs = [stage["specs"] for stage in stages]
        return measure_cache(config, specs[rank], specs)

    sizes = [run_forked(partial(measure_stage, rank)) for rank in (0, 1)]
    return {
        str(rank): {name: size for name, size in (stages[rank] | sizes[rank]).items() if name not in _OBJECTS}
        for rank in (0, 1)
    }


if __name__ == "__main__":
    main()
