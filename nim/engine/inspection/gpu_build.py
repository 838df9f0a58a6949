"""Make the engine's CUDA classes importable with its CPU build, or without a GPU.

Both builds have the same Python source. The CPU build only lacks compiled extensions and a few packages that
some model modules import; class attributes, the only thing read here, do not depend on them.
"""

import functools
import gc
import importlib.abc
import importlib.machinery
import operator
import os
import sys
import types
import warnings
from typing import Any

# Compiled extensions, and packages that the GPU build or single models require.
_ABSENT = (
    "vllm._C_stable_libtorch",
    "vllm._flashmla_C",
    "vllm._flashmla_extension_C",
    "vllm._moe_C_stable_libtorch",
    "vllm.vllm_flash_attn._vllm_fa2_C",
    "vllm.vllm_flash_attn._vllm_fa3_C",
    "vllm.third_party.deep_gemm",
    "vllm.third_party.flashmla.flash_mla_interface",
    "flashinfer",
    "terratorch",
    "timm",
    "torchaudio",
    "torchvision",
)
# Modules of both builds that look up many operators of the CUDA extensions while they are imported.
_REPLACED = ("vllm.compilation.passes.pass_manager",)
# Operators that modules call to ask whether a GPU supports a feature, and the least compute capability for a
# yes, as in csrc/quantization (w8a8/cutlass/scaled_mm_entry.cu, fp4/nvfp4_scaled_mm_entry.cu) for CUDA 13.
_ASKED = {
    "cutlass_group_gemm_supported": 90,
    "cutlass_scaled_mm_supports_block_fp8": 90,
    "cutlass_scaled_mm_supports_fp4": 100,
    "cutlass_scaled_mm_supports_fp8": 89,
}
# Operators that modules look up while they are imported.
_LOOKED_UP = ("static_scaled_fp8_quant",)


def pretend_gpu_build(capability: tuple[int, int] = (9, 0)) -> None:
    """Make this process appear to be the GPU build on one GPU of this compute capability.

    Must be called before any module of vLLM except `vllm.platforms` is imported.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Triton then needs no active driver
    os.environ["VLLM_HAS_FLASHINFER_CUBIN"] = "1"  # otherwise it requests its kernels from the internet
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    warnings.simplefilter("ignore")
    absent = _Absent()
    sys.meta_path.append(absent)
    for name in _REPLACED:
        sys.modules[name] = absent.create_module(importlib.machinery.ModuleSpec(name, absent))
    _add_operators()
    import vllm.platforms
    import vllm.platforms.cuda

    vllm.platforms.vllm_version_matches_substr = lambda _: False  # otherwise Triton requires its CPU backend
    vllm.platforms._current_platform = _platform(vllm.platforms.cuda)  # noqa: SLF001 - no public way to set it
    set_capability(capability)


def set_capability(capability: tuple[int, int]) -> None:
    """Change the GPU's compute capability, and clear all cached results."""
    from vllm.platforms import current_platform
    from vllm.platforms.interface import DeviceCapability

    type(current_platform).capability = DeviceCapability(*capability)
    for cached in [found for found in gc.get_objects() if isinstance(found, functools._lru_cache_wrapper)]:  # noqa: SLF001
        if (getattr(cached, "__module__", None) or "").startswith("vllm."):
            cached.cache_clear()


def _platform(cuda: Any) -> Any:
    """Return an instance of the CUDA platform that answers without a driver."""

    class Pretended(cuda.NonNvmlCudaPlatform):  # type: ignore[misc]
        capability = None

        @classmethod
        def get_device_capability(cls, *_: int, **__: int) -> Any:
            return cls.capability

        @classmethod
        def get_device_name(cls, *_: int, **__: int) -> str:
            return "a GPU"

        @classmethod
        def num_compute_units(cls, *_: int, **__: int) -> int:
            return 132

        @classmethod
        def log_warnings(cls) -> None:
            """Log nothing: the parent's method queries the driver."""

    return Pretended()


def _add_operators() -> None:
    """Provide the operators that only the CUDA extensions register."""
    from torch._ops import _OpNamespace

    ask = _OpNamespace.__getattr__

    def answer(namespace: Any, name: str) -> Any:
        try:
            return ask(namespace, name)
        except AttributeError:
            if name in _ASKED:
                return functools.partial(operator.le, _ASKED[name])
            if name in _LOOKED_UP:
                return types.SimpleNamespace(default=None)
            raise

    _OpNamespace.__getattr__ = answer


class _Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """An import finder of last resort that returns an empty module for each absent one."""

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        wanted = any(fullname == name or fullname.startswith(f"{name}.") for name in _ABSENT)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if wanted else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = _Module(spec.name)
        module.__path__, module.__version__ = [], "1.0"  # type: ignore[attr-defined]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: the module has no code."""


class _Module(types.ModuleType):
    """A module in which every name is a class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _class(name)
        setattr(self, name, made)
        return made


class _Attributes(type):
    """A class that has every attribute, can be inherited from, and is a decorator without effect."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _class(name)

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        if len(arguments) == 1 and not named and callable(arguments[0]):
            return arguments[0]
        return super().__call__()


def _class(name: str) -> type:
    """Return a class that accepts any use."""
    return _Attributes(name, (), {"__call__": lambda self, function=None, *_, **__: function})  # noqa: ARG005
