"""A model built by vLLM on the meta device, as `vllm serve` would configure it."""

from pathlib import Path
from typing import Any

from tests.oracle import stand_ins, world
from tests.oracle.world import Place

Verdict = dict[str, Any]
ARGUMENTS: dict[str, Any] = {}
"""What the engine is told besides, the same for all models of a process."""


def create_first_config(directory: Path) -> Any:
    """Return the configuration for one GPU, with a stand-in for a class that the checkpoint would bring."""
    try:
        return create_config(directory, Place())
    except Exception as error:
        missing = any(words in str(error) for words in stand_ins.MISSING)
        if not missing or not stand_ins.register_configuration(directory):
            raise
    return create_config(directory, Place())


def create_config(directory: Path, place: Place) -> Any:
    """Return the configuration that `vllm serve` derives by default, with these parallel sizes."""
    from vllm.engine.arg_utils import EngineArgs
    from vllm.usage.usage_lib import UsageContext

    arguments = EngineArgs(
        model=str(directory),
        tensor_parallel_size=place.tensor_parallel,
        pipeline_parallel_size=place.pipeline_parallel,
        enable_expert_parallel=place.expert_parallel,
        skip_tokenizer_init=True,
        config_format="auto" if (directory / "config.json").exists() else "mistral",
        **ARGUMENTS,
    )
    return arguments.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)


def import_model(config: Any) -> None:
    """Import the model's class, so that processes forked later have it."""
    from vllm.model_executor.model_loader.utils import get_model_architecture

    model_class, _ = get_model_architecture(config.model_config)
    stand_ins.give_tokenizer(model_class)


def read_facts(config: Any) -> Verdict:
    """Return what vLLM derives from the model's files alone."""
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


def build_model(config: Any, place: Place) -> Any:
    """Return the model of one rank; to be called once in a process."""
    import torch
    from vllm.model_executor.layers.fused_moe import expert_map_manager
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.v1.worker.workspace import init_workspace_manager

    init_workspace_manager(torch.device("meta"))  # as a worker does; some kernels' buffers are taken from it
    # Of an expert map, the length is known and the values are not: they cannot be written to the log.
    expert_map_manager.ExpertMapManager.get_compressed_map_string = lambda _manager: "unknown"
    world.join(config, place)
    with world.on_meta(config.model_config.dtype):
        return initialize_model(vllm_config=config, model_config=config.model_config)


def measure_weights(model: Any) -> Verdict:
    """Return the bytes of its parameters and of its buffers, such as the tables of rotary embeddings."""
    parameters = {id(each): each for each in model.parameters()}
    buffers = {id(each): each for each in model.buffers()}
    return {
        "parameter_bytes": sum(each.nbytes for each in parameters.values()),
        "buffer_bytes": sum(each.nbytes for each in buffers.values()),
    }
