"""Makes the engine's CUDA classes importable where only its CPU build, or no GPU, is there.

Both builds have the same Python source. What the CPU build has not are compiled extensions and a few packages
that some model modules import; class attributes, which is all that is read here, do not depend on them.
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

# Compiled extensions, and packages of the GPU build's own requirements or of single models.
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
# Operators that modules ask whether a GPU can do something, and the least compute capability for a yes: as in
# the engine's csrc/quantization (w8a8/cutlass/scaled_mm_entry.cu, fp4/nvfp4_scaled_mm_entry.cu) for CUDA 13.
_ASKED = {
    "cutlass_group_gemm_supported": 90,
    "cutlass_scaled_mm_supports_block_fp8": 90,
    "cutlass_scaled_mm_supports_fp4": 100,
    "cutlass_scaled_mm_supports_fp8": 89,
}
# Operators that modules look up while they are imported.
_LOOKED_UP = ("static_scaled_fp8_quant",)


def pretend_gpu_build(capability: tuple[int, int] = (9, 0)) -> None:
    """Make this process take itself for the GPU build on one GPU of this compute capability.

    To be called before any module of vLLM is imported, but for `vllm.platforms`.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Triton then needs no active driver
    os.environ["VLLM_HAS_FLASHINFER_CUBIN"] = "1"  # or it asks the internet for its kernels
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    warnings.simplefilter("ignore")
    absent = _Absent()
    sys.meta_path.append(absent)
    for name in _REPLACED:
        sys.modules[name] = absent.create_module(importlib.machinery.ModuleSpec(name, absent))
    _add_operators()
    import vllm.platforms
    import vllm.platforms.cuda

    vllm.platforms.vllm_version_matches_substr = lambda _: False  # or Triton wants its CPU backend
    vllm.platforms._current_platform = _platform(vllm.platforms.cuda)  # noqa: SLF001 - no public way to set it
    set_capability(capability)


def set_capability(capability: tuple[int, int]) -> None:
    """Change the GPU's compute capability, and drop whatever was computed for the last one."""
    from vllm.platforms import current_platform
    from vllm.platforms.interface import DeviceCapability

    type(current_platform).capability = DeviceCapability(*capability)
    for cached in [found for found in gc.get_objects() if isinstance(found, functools._lru_cache_wrapper)]:  # noqa: SLF001
        if (getattr(cached, "__module__", None) or "").startswith("vllm."):
            cached.cache_clear()


def _platform(cuda: Any) -> Any:
    """An instance of the CUDA platform, with what it would ask a driver for."""

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
            """The parent asks the driver."""

    return Pretended()


def _add_operators() -> None:
    """Answer for the operators that only the CUDA extensions register."""
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
    """Gives an empty module for each absent one, after every real finder has been asked."""

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        wanted = any(fullname == name or fullname.startswith(f"{name}.") for name in _ABSENT)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if wanted else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = _Module(spec.name)
        module.__path__, module.__version__ = [], "1.0"  # type: ignore[attr-defined]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing to execute."""


class _Module(types.ModuleType):
    """A module that has every name: a class each."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _class(name)
        setattr(self, name, made)
        return made


class _Attributes(type):
    """A class that has every attribute, can be inherited from, and decorates by doing nothing."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _class(name)

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        if len(arguments) == 1 and not named and callable(arguments[0]):
            return arguments[0]
        return super().__call__()


def _class(name: str) -> type:
    return _Attributes(name, (), {"__call__": lambda self, function=None, *_, **__: function})  # noqa: ARG005
