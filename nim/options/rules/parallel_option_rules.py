"""The engine's rules on kinds and sizes of parallelism that apply to any model."""

from nim.options.rules.rule_types import Clash, Rule, Said, at_most, excludes, found, needs

_PARALLEL = "config/parallel.py, ParallelConfig._validate_parallel_config"
_ARGS = "engine/arg_utils.py, EngineArgs.create_engine_config"
_SERVE = "entrypoints/cli/serve.py, ServeSubcommand.cmd"
_UBATCHING = ("deepep_low_latency", "deepep_high_throughput", "nixl_ep")


def _size(said: Said, name: str) -> int:
    """Return a parallel size as a whole number; 1 if it is not set."""
    return int(said.number(name) or 1)


def _experts(said: Said) -> Clash | None:
    """Return the Clash of --enable-expert-parallel with a model without experts; None otherwise."""
    if not said.get("enable_expert_parallel") or said.experts != 0:
        return None
    message = f"{said.flag('enable_expert_parallel')}: the model has no experts"
    return found(message, "without --enable-expert-parallel")


def _context_parallel(said: Said) -> Clash | None:
    """Return the Clash of context-parallel sizes with the tensor-parallel size; None otherwise."""
    tp, pcp, dcp = (
        _size(said, f"{name}_parallel_size") for name in ("tensor", "prefill_context", "decode_context")
    )
    named = said.flag("decode_context_parallel_size")
    if pcp == 1 and tp % dcp:
        fitting = ", ".join(str(n) for n in range(1, tp + 1) if tp % n == 0)
        message = f"{named}: it does not divide {said.flag('tensor_parallel_size')}"
        return found(message, f"one of {fitting}")
    if pcp > 1 and dcp not in (1, pcp, tp * pcp):
        message = f"{named} with {said.flag('prefill_context_parallel_size')}"
        return found(message, f"one of {', '.join(map(str, sorted({1, pcp, tp * pcp})))}")
    return None


def _binding(said: Said) -> Clash | None:
    """Return the Clash of NUMA nodes or CPUs without --numa-bind; None otherwise."""
    bound = next((name for name in ("numa_bind_nodes", "numa_bind_cpus") if said.given(name)), None)
    if bound is None or said.get("numa_bind"):
        return None
    return found(f"{said.flag(bound)}: it needs --numa-bind", "--numa-bind")


def _balancing(said: Said) -> Clash | None:
    """Return the Clash of expert load balancing (EPLB) on one rank or switched off; None otherwise."""
    if not said.get("enable_eplb"):
        redundant = said.item("eplb_config", "num_redundant_experts")
        if not redundant:
            return None
        return found(
            f'"num_redundant_experts" of {said.flag("eplb_config")}: it needs --enable-eplb', "--enable-eplb"
        )
    ranks = 1
    for name in ("tensor", "prefill_context", "data"):
        ranks *= _size(said, f"{name}_parallel_size")
    if said.get("enable_expert_parallel") and ranks == 1:
        return found(
            f"{said.flag('enable_eplb')}: with one rank there is nothing to balance", "--data-parallel-size 2"
        )
    return None


def _elastic(said: Said) -> Clash | None:
    """Return the Clash of --enable-elastic-ep with pipeline stages or other balancers; None otherwise."""
    if not said.get("enable_elastic_ep"):
        return None
    stages = said.flag("pipeline_parallel_size")
    if _size(said, "pipeline_parallel_size") > 1:
        return found(f"{said.flag('enable_elastic_ep')} with {stages}", "--pipeline-parallel-size 1")
    modes = [name for name in ("data_parallel_external_lb", "data_parallel_hybrid_lb") if said.get(name)]
    return (
        found(f"{said.flag('enable_elastic_ep')} with {said.flag(modes[0])}", "one of the two")
        if modes
        else None
    )


def _nsight(said: Said) -> Clash | None:
    """Return the Clash of Nsight profiling with workers that are not Ray's; None otherwise."""
    if not said.get("ray_workers_use_nsight") or said.get("distributed_executor_backend") == "ray":
        return None
    return found(
        f"{said.flag('ray_workers_use_nsight')}: the workers are not Ray's",
        "--distributed-executor-backend ray",
    )


def _stages(said: Said) -> Clash | None:
    """Return the Clash of pipeline stages with the executor backend `uni`; None otherwise."""
    backend = said.get("distributed_executor_backend")
    if _size(said, "pipeline_parallel_size") == 1 or backend != "uni":
        return None
    message = f"{said.flag('distributed_executor_backend')} with {said.flag('pipeline_parallel_size')}"
    return found(message, "--distributed-executor-backend mp")


def _microbatches(said: Said) -> Clash | None:
    """Return the Clash of --ubatch-size above 1 with the all2all backend; None otherwise."""
    sized = (said.number("ubatch_size") or 0) > 1
    if not sized or said.get("all2all_backend") in _UBATCHING:
        return None
    message = f"{said.flag('ubatch_size')} with {said.flag('all2all_backend')}"
    return found(message, f"--all2all-backend {_UBATCHING[0]}")


def _balancer(said: Said) -> Clash | None:
    """Return the Clash of data-parallel load balancing modes with each other or sizes; None otherwise."""
    external = said.get("data_parallel_external_lb") or said.given("data_parallel_rank")
    hybrid = said.get("data_parallel_hybrid_lb") or said.given("data_parallel_start_rank")
    multi = said.get("data_parallel_multi_port_external_lb")
    if multi:
        message = (
            f"{said.flag('data_parallel_multi_port_external_lb')}: the gateway serves one engine on one port"
        )
        return found(message, "--data-parallel-size alone: the engine balances its ranks itself")
    if external and hybrid:
        names = (
            "data_parallel_external_lb",
            "data_parallel_rank",
            "data_parallel_hybrid_lb",
            "data_parallel_start_rank",
        )
        both = [said.flag(name) for name in names if said.get(name) is not None and said.given(name)]
        return found(f"{' and '.join(both)} together: they are two ways to balance", "one of the two")
    return _external(said) if external else _hybrid(said)


def _external(said: Said) -> Clash | None:
    """Return the Clash of an external load balancer with data-parallel sizes or ranks; None otherwise."""
    size, local = _size(said, "data_parallel_size"), said.number("data_parallel_size_local")
    named = "data_parallel_rank" if said.given("data_parallel_rank") else "data_parallel_external_lb"
    if size == 1:
        return found(f"{said.flag(named)}: it needs --data-parallel-size above 1", "--data-parallel-size 2")
    if said.experts == 0:
        message = f"{said.flag(named)}: a model without experts has no ranks that must know of each other"
        return found(message, "an instance of the service for each rank, without --data-parallel-…")
    rank = said.number("data_parallel_rank")
    if rank is None and _size(said, "nnodes") == 1:
        return found(f"{said.flag(named)}: it needs --data-parallel-rank", "--data-parallel-rank 0")
    if rank is not None and rank >= size:
        return found(f"{said.flag('data_parallel_rank')}: the ranks are 0 to {size - 1}", f"below {size}")
    if local not in (None, 1):
        return found(
            f"{said.flag('data_parallel_size_local')} with {said.flag(named)}", "--data-parallel-size-local 1"
        )
    return None


def _hybrid(said: Said) -> Clash | None:
    """Return the Clash of hybrid load balancing with data-parallel sizes; None otherwise."""
    local = said.number("data_parallel_size_local")
    if not said.get("data_parallel_hybrid_lb"):
        return None
    if local is None:
        message = f"{said.flag('data_parallel_hybrid_lb')}: it needs --data-parallel-size-local"
        return found(message, "--data-parallel-size-local, the ranks of this node")
    if local == 1 and _size(said, "data_parallel_size") == 1:
        message = f"{said.flag('data_parallel_hybrid_lb')}: it needs --data-parallel-size above 1"
        return found(message, "--data-parallel-size 2")
    return None


def _fault_tolerance(said: Said) -> Clash | None:
    """Return the Clash of fault tolerance without an external load balancer; None otherwise."""
    external = said.get("data_parallel_external_lb") or said.given("data_parallel_rank")
    if not said.get("enable_fault_tolerance") or external:
        return None
    return found(
        f"{said.flag('enable_fault_tolerance')} without an external balancer",
        "without --enable-fault-tolerance",
    )


def _nodes(said: Said) -> Clash | None:
    """Return the Clash of --nnodes with parallel sizes, node rank or backend; None otherwise."""
    nodes = _size(said, "nnodes")
    if nodes == 1:
        return None
    ranks = 1
    for name in ("pipeline", "tensor", "prefill_context", "data"):
        ranks *= _size(said, f"{name}_parallel_size")
    if ranks % nodes:
        return found(f"{said.flag('nnodes')}: it does not divide {ranks}, the number of ranks", "--nnodes 1")
    if (said.number("node_rank") or 0) >= nodes:
        return found(f"{said.flag('node_rank')}: the nodes are 0 to {nodes - 1}", "--node-rank 0")
    if said.get("data_parallel_backend") == "ray":
        return found(
            f"{said.flag('nnodes')} with {said.flag('data_parallel_backend')}", "--data-parallel-backend mp"
        )
    return None


PARALLEL: tuple[Rule, ...] = (
    Rule(source="config/model.py, ModelConfig._verify_with_expert_parallelism", find=_experts),
    Rule(source=_PARALLEL, find=_context_parallel),
    Rule(source=_PARALLEL, find=_binding),
    needs("enable_eplb", "enable_expert_parallel", source=_PARALLEL),
    Rule(source=_PARALLEL, find=_balancing),
    needs("enable_elastic_ep", "enable_eplb", source="config/parallel.py, ParallelConfig.__post_init__"),
    Rule(source="config/parallel.py, ParallelConfig.__post_init__", find=_elastic),
    Rule(source="config/parallel.py, ParallelConfig._verify_args", find=_nsight),
    Rule(source="engine/arg_utils.py, EngineArgs._check_feature_supported", find=_stages),
    Rule(source="config/vllm.py, VllmConfig.__post_init__", find=_microbatches),
    excludes("data_parallel_external_lb", "data_parallel_hybrid_lb", source=_ARGS),
    at_most("data_parallel_size_local", "data_parallel_size", source=_PARALLEL),
    Rule(source=f"{_SERVE}; {_ARGS}", find=_balancer),
    Rule(source=_ARGS, find=_fault_tolerance),
    Rule(source=_ARGS, find=_nodes),
)
