"""One rank of a distributed group of any size, alone in its process and without communication."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which rank of which world this process is."""

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    expert_parallel: bool = False
    rank: int = 0

    @property
    def size(self) -> int:
        """Return the number of ranks."""
        return self.tensor_parallel * self.pipeline_parallel


def join(vllm_config: Any, place: Place) -> None:
    """Create vLLM's parallel groups for `place`, on torch's fake backend."""
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore
    from vllm.config import set_current_vllm_config
    from vllm.distributed import parallel_state

    _never_communicate()
    dist.init_process_group(backend="fake", rank=place.rank, world_size=place.size, store=FakeStore())
    with set_current_vllm_config(vllm_config):
        parallel_state.init_distributed_environment(place.size, place.rank, "env://", 0, "fake")
        parallel_state.initialize_model_parallel(place.tensor_parallel, place.pipeline_parallel)


def _never_communicate() -> None:
    import torch.distributed as dist
    from vllm.distributed import parallel_state

    new_group, create = dist.new_group, parallel_state.GroupCoordinator.__init__

    def fake_group(ranks: Any = None, timeout: Any = None, backend: Any = None, **named: Any) -> Any:
        return new_group(ranks, backend="fake", **named)

    def coordinator(self: Any, group_ranks: Any, local_rank: int, *_: Any, **named: Any) -> None:
        create(self, group_ranks, local_rank, "fake", False, False, named.get("group_name"), False)

    dist.new_group = fake_group
    parallel_state.GroupCoordinator.__init__ = coordinator
    parallel_state.in_the_same_node_as = lambda group, *_, **__: [True] * dist.get_world_size(group)


@contextlib.contextmanager
def on_meta(dtype: Any) -> Iterator[None]:
    """Make every tensor a shape on the meta device, wherever it is asked for; `dtype` is the default."""
    import torch
    from torch.overrides import TorchFunctionMode
    from vllm.utils.torch_utils import set_default_torch_dtype

    meta = torch.device("meta")

    def moved(value: Any) -> Any:
        if isinstance(value, torch.device):
            return meta if value.type == "cuda" else value
        return meta if isinstance(value, str) and value.partition(":")[0] == "cuda" else value

    def device(value: Any) -> Any:
        return meta if isinstance(value, int) else moved(value)  # a number names a GPU

    class ToMeta(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self, function: Any, _kinds: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            named = {
                name: device(value) if name == "device" else value for name, value in (named or {}).items()
            }
            if function is torch.Tensor.cuda:
                return arguments[0].to(meta)
            # Constants such as the slopes of ALiBi are read while the model is built.
            if function in (torch.Tensor.tolist, torch.Tensor.cpu) and arguments[0].is_meta:
                zeros = torch.zeros(arguments[0].shape, dtype=arguments[0].dtype, device="cpu")
                return zeros if function is torch.Tensor.cpu else zeros.tolist()
            return function(*map(moved, arguments), **named)

    with set_default_torch_dtype(dtype), meta, ToMeta():
        yield
