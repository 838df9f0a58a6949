"""Combinations of options that the engine refuses before it loads a model, with the source of each rule."""

from collections.abc import Sequence

from nim.engine.arguments.argument_error_messages import Refusal, refuse_all
from nim.options.rules.model_option_rules import MODEL
from nim.options.rules.parallel_option_rules import PARALLEL
from nim.options.rules.rule_types import Clash, Rule, Said, at_least, at_most, found, needs, once
from nim.options.rules.speculative_option_rules import SPECULATIVE

_CLI = "entrypoints/launchers/cli_args.py, validate_parsed_serve_args"
_ARGS = "engine/arg_utils.py, EngineArgs.create_engine_config"
_SCHEDULER = "config/scheduler.py, SchedulerConfig.verify_max_model_len"
_LORA = "config/lora.py, LoRAConfig._validate_lora_config"
_STRUCTURED = "config/structured_outputs.py, _validate_structured_output_config"
_GRAPHS = "config/vllm.py, VllmConfig._set_cudagraph_sizes"
_MAMBA = "config/vllm.py, VllmConfig.__post_init__"


def check_combinations(said: Said, *, strict: bool = True) -> tuple[str, ...]:
    """Return warnings; if `strict`, SettingsError for all combinations that the engine refuses."""
    refused = [_refusal(clash) for rule in RULES if (clash := rule.find(said))]
    if refused and strict:
        raise refuse_all(refused, "the resolved configuration")
    return tuple(f"{one.one_line()}; the engine refuses it" for one in refused)


def _refusal(clash: Clash) -> Refusal:
    """Return the Refusal made from a Clash."""
    return Refusal(message=f"cannot use {clash.message}", hint=clash.hint)


def _sse_interval(said: Said) -> Clash | None:
    """Return the Clash of a negative SSE keep-alive interval; None otherwise."""
    interval = said.number("sse_keep_alive_interval")
    if interval is None or interval >= 0:
        return None
    return found(
        f"{said.flag('sse_keep_alive_interval')}: it is below 0", "--sse-keep-alive-interval 0 for none"
    )


def _request_metrics(said: Said) -> Clash | None:
    """Return the Clash of per-request metrics with statistics off; None otherwise."""
    if not said.get("enable_per_request_metrics") or not said.get("disable_log_stats"):
        return None
    without = said.flag("disable_log_stats")
    message = f"{said.flag('enable_per_request_metrics')} with {without}: they are statistics"
    return found(message, "without --disable-log-stats")


def _context(said: Said) -> Clash | None:
    """Return the Clash of --max-model-len 0; None otherwise."""
    if said.number("max_model_len") != 0:
        return None
    return found(
        f"{said.flag('max_model_len')}: no token fits", said.write("max_model_len", "auto", "max_model_len")
    )


def _whole_prompts(said: Said) -> bool:
    """Return True if chunked prefill is set to off."""
    return said.given("enable_chunked_prefill") and said.get("enable_chunked_prefill") is False


def _prompt_in_one_piece(said: Said) -> Clash | None:
    """Return the Clash of steps smaller than the context without chunked prefill; else None."""
    batched, context = said.number("max_num_batched_tokens"), said.number("max_model_len")
    if batched is None or context is None or batched >= context or not _whole_prompts(said):
        return None
    message = f"{said.flag('max_num_batched_tokens')} below {said.flag('max_model_len')} with "
    return found(
        message + said.flag("enable_chunked_prefill"),
        f"--max-num-batched-tokens {context:.0f}, or chunked prefill",
    )


def _host_adapters(said: Said) -> bool:
    """Return True if LoRA is on and --max-cpu-loras is above 0."""
    return bool(said.get("enable_lora")) and (said.number("max_cpu_loras") or 0) > 0


def _whitespace(said: Said) -> Clash | None:
    """Return the Clash of disable_any_whitespace without xgrammar or guidance; None otherwise."""
    items = said.items("structured_outputs_config")
    if not items.get("disable_any_whitespace") or items.get("backend") in ("xgrammar", "guidance"):
        return None
    whole = said.flag("structured_outputs_config")
    message = f'"disable_any_whitespace" of {whole}: only xgrammar and guidance know it'
    return found(message, "--structured-outputs-config.backend xgrammar")


def _additional_properties(said: Said) -> Clash | None:
    """Return the Clash of disable_additional_properties without guidance; None otherwise."""
    items = said.items("structured_outputs_config")
    if not items.get("disable_additional_properties") or items.get("backend") == "guidance":
        return None
    whole = said.flag("structured_outputs_config")
    message = f'"disable_additional_properties" of {whole}: only guidance knows it'
    return found(message, "--structured-outputs-config.backend guidance")


def _transfer_role(said: Said) -> Clash | None:
    """Return the Clash of a KV connector without a role; None otherwise."""
    items = said.items("kv_transfer_config")
    if items.get("kv_connector") is None or items.get("kv_role") is not None:
        return None
    message = f'"kv_connector" of {said.flag("kv_transfer_config")}: it needs "kv_role"'
    return found(message, "--kv-transfer-config.kv_role kv_both, or kv_producer, or kv_consumer")


def _state_update(said: Said) -> Clash | None:
    """Return the Clash of --mamba-ssu-algorithm without FlashInfer; None otherwise."""
    if not said.given("mamba_ssu_algorithm") or said.get("mamba_backend") == "flashinfer":
        return None
    return found(f"{said.flag('mamba_ssu_algorithm')}: only FlashInfer has it", "--mamba-backend flashinfer")


def _rounding(said: Said) -> Clash | None:
    """Return the Clash of stochastic rounding without a float16 state cache; None otherwise."""
    wanted = said.get("enable_mamba_cache_stochastic_rounding")
    if not wanted or said.get("mamba_ssm_cache_dtype") == "float16":
        return None
    message = f"{said.flag('enable_mamba_cache_stochastic_rounding')} without a state cache in float16"
    return found(message, "--mamba-ssm-cache-dtype float16")


def _state_blocks(said: Said) -> Clash | None:
    """Return the Clash of --mamba-block-size with prefix caching off; None otherwise."""
    size = said.number("mamba_block_size")
    off = said.given("enable_prefix_caching") and said.get("enable_prefix_caching") is False
    if size is None or size == said.number("max_model_len") or not off:
        return None
    return found(
        f"{said.flag('mamba_block_size')} with {said.flag('enable_prefix_caching')}",
        "--enable-prefix-caching",
    )


def _prefetch(said: Said) -> Clash | None:
    """Return the Clash of inconsistent sizes for prefetch offloading; None otherwise."""
    group = said.number("offload_group_size") or 0
    if group <= 0 and said.get("offload_backend") != "prefetch":
        return None
    step = said.number("offload_prefetch_step")
    if step is not None and step < 1:
        return found(
            f"{said.flag('offload_prefetch_step')} with {said.flag('offload_group_size')}", "1 or more"
        )
    if (said.number("offload_num_in_group") or 0) <= group:
        return None
    message = f"{said.flag('offload_num_in_group')}: it is more than {said.flag('offload_group_size')}"
    return found(message, "--offload-num-in-group at most the size of a group")


def _pooling(said: Said) -> Clash | None:
    """Return the Clash of pooling_type with another pooling type in --pooler-config; None otherwise."""
    items = said.items("pooler_config")
    both = [key for key in ("seq_pooling_type", "tok_pooling_type") if items.get(key)]
    if items.get("pooling_type") is None or not both:
        return None
    return found(f'"pooling_type" and "{both[0]}" of {said.flag("pooler_config")}', "one of the two")


def _profiler(said: Said) -> Clash | None:
    """Return the Clash of torch's profiler without a directory; None otherwise."""
    items = said.items("profiler_config")
    if items.get("profiler") != "torch" or items.get("torch_profiler_dir"):
        return None
    return found(
        f'"profiler": "torch" of {said.flag("profiler_config")}: it needs "torch_profiler_dir"',
        "--profiler-config.torch_profiler_dir /tmp/profile",
    )


def _devices(said: Said) -> Clash | None:
    """Return the Clash of device ids named twice, or by number and UUID; None otherwise."""
    devices = said.get("device_ids")
    if not isinstance(devices, Sequence) or isinstance(devices, str):
        return None
    if len(set(map(str, devices))) < len(devices):
        return found(f"{said.flag('device_ids')}: one is named twice", "each GPU once")
    if len({isinstance(device, str) for device in devices}) > 1:
        return found(
            f"{said.flag('device_ids')}: numbers and names together", "all by number, or all by UUID"
        )
    return None


def _bound_nodes(said: Said) -> Clash | None:
    """Return the Clash of a NUMA node below 0; None otherwise."""
    nodes = said.get("numa_bind_nodes")
    below = [node for node in nodes if isinstance(node, int) and node < 0] if isinstance(nodes, list) else []
    if not below:
        return None
    return found(f"{below[0]} of {said.flag('numa_bind_nodes')}: it is below 0", "nodes from 0 on")


def _graphs(said: Said) -> bool:
    """Return True if CUDA graphs are on and --compilation-config is not set."""
    return not said.get("enforce_eager") and not said.given("compilation_config")


def _grpc(said: Said) -> Clash | None:
    """Return the Clash of --grpc-port without vLLM's Rust front end; None otherwise."""
    rust = said.config.get("VLLM_USE_RUST_FRONTEND")
    if not said.given("grpc_port") or (rust and str(rust.value) not in ("", "0", "false")):
        return None
    return found(f"{said.flag('grpc_port')}: only vLLM's Rust front end has it", "without --grpc-port")


RULES: tuple[Rule, ...] = (
    needs("enable_auto_tool_choice", "tool_call_parser", "NAME, as its model's card says", source=_CLI),
    needs("enable_log_outputs", "enable_log_requests", source=_CLI),
    Rule(source=_CLI, find=_sse_interval),
    at_least("api_server_count", 1, source="entrypoints/cli/serve.py, ServeSubcommand.cmd"),
    at_least("shutdown_timeout", 0, source="config/vllm.py, VllmConfig"),
    at_least("max_cudagraph_capture_size", 1, source=_GRAPHS, where=_graphs),
    Rule(source="config/parallel.py, ParallelConfig._validate_numa_bind_nodes", find=_bound_nodes),
    Rule(source=_CLI, find=_request_metrics),
    Rule(source="entrypoints/launchers/cli_args.py, validate_grpc_port_arg", find=_grpc),
    Rule(source="config/model.py, ModelConfig.validate_model_config_after", find=_context),
    at_most("max_num_seqs", "max_num_batched_tokens", source=_SCHEDULER),
    at_most("max_num_active_seqs", "max_num_seqs", source=_SCHEDULER),
    at_most("long_prefill_token_threshold", "max_model_len", source=_SCHEDULER),
    Rule(source=_SCHEDULER, find=_prompt_in_one_piece),
    at_most("max_loras", "max_cpu_loras", source=_LORA, where=_host_adapters),
    needs("lora_modules", "enable_lora", source="v1/worker/lora_model_runner_mixin.py, add_lora"),
    Rule(source=_STRUCTURED, find=_whitespace),
    Rule(source=_STRUCTURED, find=_additional_properties),
    Rule(source="config/kv_transfer.py, KVTransferConfig.__post_init__", find=_transfer_role),
    Rule(source="config/mamba.py, MambaConfig.validate_ssu_algorithm", find=_state_update),
    Rule(source=_MAMBA, find=_rounding),
    Rule(source="config/vllm.py, VllmConfig.validate_mamba_block_size", find=_state_blocks),
    Rule(source="config/offload.py, OffloadConfig.validate_offload_config", find=_prefetch),
    Rule(source="config/pooler.py, PoolerConfig", find=_pooling),
    Rule(source="config/profiler.py, ProfilerConfig", find=_profiler),
    Rule(source="engine/arg_utils.py, EngineArgs._resolve_device_ids", find=_devices),
    needs(
        "collect_detailed_traces",
        "otlp_traces_endpoint",
        "URL",
        source="config/observability.py, ObservabilityConfig._validate_tracing_config",
    ),
    once("attention_backend", "attention_config", "backend", source=_ARGS),
    once("enable_flashinfer_autotune", "kernel_config", "enable_flashinfer_autotune", source=_ARGS),
    once("cudagraph_capture_sizes", "compilation_config", "cudagraph_capture_sizes", source=_ARGS),
    once("max_cudagraph_capture_size", "compilation_config", "max_cudagraph_capture_size", source=_ARGS),
    *PARALLEL,
    *SPECULATIVE,
    *MODEL,
)
