"""Let the pinned vLLM judge models: a directory a line on stdin, a verdict a line on stdout.

`echo DIRECTORY | python -m tests.oracle.judge 9.0` judges on a GPU of capability 9.0, `… 10.0` on one of
10.0, and `… cpu` on the CPU build as it is; a second argument such as `1,2` limits the sizes. A model is
built on the meta device, once for each place in a world of ranks, each in a process forked when vLLM's
modules are loaded. Nothing is downloaded and no weight is read.
"""

import importlib
import json
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.oracle import gpu, stand_ins, world
from tests.oracle.sequence import collect_specs, measure_cache
from tests.oracle.world import Place

SIZES = tuple(range(1, 17))
EXPERT_SIZES = (2, 4, 8)
SECONDS = 900  # for one model
# What every model needs is loaded once, before the first fork.
MODULES = (
    "torch.testing._internal.distributed.fake_pg",
    "vllm.engine.arg_utils",
    "vllm.model_executor.models.mixtral",
    "vllm.v1.core.single_type_kv_cache_manager",
    "vllm.v1.worker.gpu.attn_utils",
    "vllm.v1.worker.worker_base",
)
Verdict = dict[str, Any]


def main() -> None:
    """Judge what stdin names, one after the other."""
    platform = sys.argv[1]
    sizes = tuple(map(int, sys.argv[2].split(","))) if sys.argv[2:] else SIZES
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what vLLM prints
    with tempfile.TemporaryDirectory() as directory:
        _set_platform(platform, directory)
        _import_engine()
        for line in sys.stdin:
            verdict = _run_forked(partial(judge, Path(line.strip()), platform, sizes))
            print(json.dumps(verdict, sort_keys=True), file=answers, flush=True)


def _set_platform(platform: str, directory: str) -> None:
    if platform != "cpu":
        gpu.pretend(gpu.GPUS[platform], directory)
        return
    os.environ.update(gpu.QUIET, VLLM_CACHE_ROOT=directory)
    importlib.import_module("nim.supervision.run_cpu_build")  # names vLLM's distribution


def _import_engine() -> None:
    for module in MODULES:
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
        config = _create_first_config(directory)
        verdict |= _read_facts(config)
        _import_model(config)
    except Exception as error:
        return verdict | _describe_error(error)
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
    """Keep the description of caches and layers once, that of the whole model on one GPU."""
    groups = (verdict.get(f"{kind}_parallel", {}) for kind in ("tensor", "expert", "pipeline"))
    places = [place for group in groups for place in group.values()]
    for name in ("caches", "layers"):
        verdict[name] = verdict["tensor_parallel"]["1"].get(name)
        for place in places:
            place.pop(name, None)
    return verdict


def _create_first_config(directory: Path) -> Any:
    try:
        return _create_config(directory, Place())
    except Exception as error:
        missing = any(words in str(error) for words in stand_ins.MISSING)
        if not missing or not stand_ins.register_configuration(directory):
            raise
    return _create_config(directory, Place())


def _create_config(directory: Path, place: Place) -> Any:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.usage.usage_lib import UsageContext

    arguments = EngineArgs(
        model=str(directory),
        tensor_parallel_size=place.tensor_parallel,
        pipeline_parallel_size=place.pipeline_parallel,
        enable_expert_parallel=place.expert_parallel,
        skip_tokenizer_init=True,
        config_format="auto" if (directory / "config.json").exists() else "mistral",
    )
    return arguments.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)


def _import_model(config: Any) -> None:
    from vllm.model_executor.model_loader.utils import get_model_architecture

    model_class, _ = get_model_architecture(config.model_config)
    stand_ins.give_tokenizer(model_class)


def _read_facts(config: Any) -> Verdict:
    model, shape = config.model_config, config.model_config.model_arch_config
    return {
        "architecture": model.architecture,
        "heads": shape.total_num_attention_heads,
        "kv_heads": shape.total_num_kv_heads,
        "head_size": shape.head_size,
        "hidden_layers": shape.total_num_hidden_layers,
        "experts": shape.num_experts or None,
        "context": model.max_model_len,
        "quantization": model.quantization,
        "dtype": str(model.dtype).removeprefix("torch."),
        "kv_cache_dtype": config.cache_config.cache_dtype,
        "remote_code": type(model.hf_config).__name__ == "BareConfig",
        "generates": model.runner_type == "generate",
        "multimodal": bool(model.is_multimodal_model),
        "batched_tokens": config.scheduler_config.max_num_batched_tokens,
        "in_flight_tokens": config.max_in_flight_tokens,
    }


def _judge_place(directory: Path, place: Place) -> Verdict:
    """Return the sizes on one rank, from a process for it."""

    def judge_here() -> Verdict:
        config = _create_config(directory, place)
        weights = _measure_weights(_build_model(config, place))
        return weights | measure_cache(config, collect_specs(config))

    return _run_forked(judge_here)


def _judge_stages(directory: Path) -> dict[str, Verdict]:
    """Return the sizes on both ranks of a pipeline of two. What a stage caches depends on the other, too."""
    places = [Place(pipeline_parallel=2, rank=rank) for rank in (0, 1)]

    def build_stage(place: Place) -> Verdict:
        config = _create_config(directory, place)
        weights = _measure_weights(_build_model(config, place))
        return weights | {"specs": collect_specs(config), "cache": config.cache_config}

    stages = [_run_forked(partial(build_stage, place)) for place in places]
    if any("error" in stage for stage in stages):
        return {str(rank): stage if "error" in stage else {} for rank, stage in enumerate(stages)}

    def measure_stage(rank: int) -> Verdict:
        config = _create_config(directory, places[rank])
        config.cache_config = stages[rank].pop("cache")
        specs = [stage["specs"] for stage in stages]
        return measure_cache(config, specs[rank], specs)

    sizes = [_run_forked(partial(measure_stage, rank)) for rank in (0, 1)]
    return {
        str(rank): {name: size for name, size in (stages[rank] | sizes[rank]).items() if name not in _OBJECTS}
        for rank in (0, 1)
    }


_OBJECTS = ("specs", "cache")


def _run_forked(function: Callable[[], Verdict]) -> Verdict:
    """Return what `function` returns in a child that has this process's modules, or why it cannot."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(SECONDS)
        try:
            found = function()
        except Exception as error:
            found = _describe_error(error)
        with os.fdopen(writing, "wb") as answer:
            pickle.dump(found, answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        data = answer.read()
    _, status = os.waitpid(child, 0)
    return dict(pickle.loads(data)) if data else {"error": f"the engine's process ended with status {status}"}


def _build_model(config: Any, place: Place) -> Any:
    from vllm.model_executor.layers.fused_moe import expert_map_manager
    from vllm.model_executor.model_loader.utils import initialize_model

    # Of an expert map, the length is known and the values are not: they cannot be written to the log.
    expert_map_manager.ExpertMapManager.get_compressed_map_string = lambda _manager: "unknown"
    world.join(config, place)
    with world.on_meta(config.model_config.dtype):
        return initialize_model(vllm_config=config, model_config=config.model_config)


def _measure_weights(model: Any) -> Verdict:
    parameters = {id(each): each for each in model.parameters()}
    buffers = {id(each): each for each in model.buffers()}
    return {
        "parameter_bytes": sum(each.nbytes for each in parameters.values()),
        "buffer_bytes": sum(each.nbytes for each in buffers.values()),
    }


def _describe_error(error: Exception) -> Verdict:
    """Return vLLM's words, without pydantic's around them; of a bare assertion, its source line."""
    traceback.print_exception(error)
    text = str(error).strip().partition(" Supported architectures: dict_keys")[0]
    if not text:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return {"error": f"{type(error).__name__}: {Path(frame.filename).name}: {frame.line}"}
    if "Value error, " in text:
        text = text.partition("Value error, ")[2].partition(" [type=")[0]
    if not isinstance(error, ValueError | AssertionError | NotImplementedError):
        text = f"{type(error).__name__}: {text}"
    return {"error": " ".join(text.split())[:400]}


if __name__ == "__main__":
    main()
