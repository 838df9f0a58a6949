"""Let the pinned vLLM judge models: a directory a line on stdin, a verdict a line on stdout.

`echo DIRECTORY | python -m tests.oracle.judge 9.0` judges on a GPU of capability 9.0, `… 10.0` on one of
10.0, and `… cpu` on the CPU build as it is; a second argument such as `1,2` limits the sizes. A model is
built on the meta device, once for each place in a world of ranks, each in a process forked when vLLM's
modules are loaded. Nothing is downloaded and no weight is read.
"""

import importlib
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.oracle import gpu, stand_ins, world
from tests.oracle.sequence import measure_cache
from tests.oracle.world import Place

SIZES = tuple(range(1, 17))
EXPERT_SIZES = (2, 4, 8)
SECONDS = 300  # for one place
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
    for name, places in _list_places(config.model_config, sizes).items():
        verdict[name] = {each: _judge_place(directory, place) for each, place in places.items()}
    for name in ("caches", "layers"):
        verdict[name] = verdict["tensor_parallel"]["1"].get(name)
        for found in (found for group in _GROUPS for found in verdict.get(group, {}).values()):
            found.pop(name, None)
    return verdict


_GROUPS = ("tensor_parallel", "expert_parallel", "pipeline_parallel")


def _list_places(model: Any, sizes: tuple[int, ...]) -> dict[str, dict[str, Place]]:
    tensor, expert, pipeline = _GROUPS
    found = {tensor: {str(size): Place(tensor_parallel=size) for size in sizes}}
    if sizes == SIZES and model.is_moe:
        found[expert] = {
            str(size): Place(tensor_parallel=size, expert_parallel=True) for size in EXPERT_SIZES
        }
    if sizes == SIZES and model.is_pp_supported:
        found[pipeline] = {str(rank): Place(pipeline_parallel=2, rank=rank) for rank in (0, 1)}
    return found


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
    return _run_forked(partial(_judge_here, directory, place))


def _run_forked(function: Callable[[], Verdict]) -> Verdict:
    """Return what `function` returns in a child that has this process's modules."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        with os.fdopen(writing, "w", encoding="utf-8") as answer:
            json.dump(function(), answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    return dict(json.loads(text)) if text else {"error": f"the engine's process ended with status {status}"}


def _judge_here(directory: Path, place: Place) -> Verdict:
    signal.alarm(SECONDS)
    try:
        config = _create_config(directory, place)
        return _measure_weights(_build_model(config, place)) | measure_cache(config)
    except Exception as error:
        return _describe_error(error)


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
