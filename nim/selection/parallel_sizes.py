"""Parallel sizes of one start: tensor, pipeline, data; ranks, replicas, and those on this node.

The rules are those of vLLM 0.32, `ParallelConfig.__post_init__` and `EngineArgs.create_engine_config`.
"""

from nim.frozen_dataclass import frozen_dataclass
from nim.manifest import Profile
from nim.models.weights.weight_matrices import Ranks
from nim.selection.effective_options import EngineOptions


@frozen_dataclass
class Parallel:
    """Parallel sizes of one start. `local_replicas` is None if the engine derives it.

    `decode_context` shares the cache among ranks that exist already; `prefill_context` adds ranks.
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    prefill_context: int = 1
    decode_context: int = 1
    nodes: int = 1
    local_replicas: int | None = None
    expert: bool = False
    cluster: bool = False  # Ray places the ranks, also on GPUs that are not of this machine

    @property
    def replica_ranks(self) -> int:
        """Return the number of GPUs of one data-parallel replica, over all nodes."""
        return self.tensor * self.pipeline * self.prefill_context

    @property
    def ranks(self) -> int:
        """Return the number of GPUs of all replicas together, over all nodes."""
        return self.replica_ranks * self.data

    @property
    def expert_ranks(self) -> int:
        """Return the number of ranks that share a layer's experts."""
        return self.tensor * self.prefill_context * self.data

    @property
    def weight_ranks(self) -> Ranks:
        """Return the parallel sizes by which the weights are divided, as Ranks."""
        replicas = self.data * self.prefill_context
        return Ranks(tensor=self.tensor, pipeline=self.pipeline, data=replicas, expert_parallel=self.expert)

    @property
    def local_ranks(self) -> int:
        """Return the number of GPUs needed on this node, at least 1 if derived from nodes."""
        if self.local_replicas is not None and self.nodes == 1:
            return self.replica_ranks * self.local_replicas
        return max(self.ranks // self.nodes, 1)

    def __str__(self) -> str:
        sizes = {"tp": self.tensor, "pp": self.pipeline, "dp": self.data, "pcp": self.prefill_context}
        return " × ".join(f"{name}{size}" for name, size in sizes.items() if size > 1 or name == "tp")


def parallel_of(profile: Profile, options: EngineOptions, *, own_sizes: bool) -> Parallel:
    """Return the Parallel sizes of a start with `profile`: the options', else the profile's.

    `own_sizes` keeps the profile's TP and PP where the user set others: then it is not what was asked for.
    """
    own = profile.tensor_parallel_size, profile.pipeline_parallel_size
    asked = options.integer("tensor_parallel_size"), options.integer("pipeline_parallel_size")
    tensor, pipeline = own if own_sizes else (asked[0] or own[0], asked[1] or own[1])
    return Parallel(
        tensor=tensor,
        pipeline=pipeline,
        data=options.integer("data_parallel_size") or 1,
        prefill_context=options.integer("prefill_context_parallel_size") or 1,
        decode_context=options.integer("decode_context_parallel_size") or 1,
        nodes=options.integer("nnodes") or 1,
        local_replicas=_local_replicas(options),
        expert=options.flag("enable_expert_parallel"),
        cluster="ray" in (options.get("distributed_executor_backend"), options.get("data_parallel_backend")),
    )


def _local_replicas(options: EngineOptions) -> int | None:
    """Return the number of replicas on this node; None if it is not set."""
    if options.get("data_parallel_rank") is not None or options.flag("data_parallel_external_lb"):
        return 1
    return options.integer("data_parallel_size_local")
