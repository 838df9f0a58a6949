"""Stand-ins for code that is not installed: compiled kernels and packages of the GPU wheel."""

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable
from typing import Any, ClassVar

MODULES = (
    "vllm._C_stable_libtorch",
    "vllm._moe_C_stable_libtorch",
    "vllm._deepselect_C",
    "vllm._flashkda_C",
    "vllm._flashmla_C",
    "vllm._flashmla_extension_C",
    "vllm.vllm_flash_attn._vllm_fa2_C",
    "vllm.vllm_flash_attn._vllm_fa3_C",
    "vllm.vllm_flash_attn.cute",
    "vllm.third_party.deep_gemm",
    "vllm.third_party.flashmla.flash_mla_interface",
    "vllm.third_party.triton_kernels",
    "triton_kernels",
    # Requirements of the GPU wheel alone.
    "cuda",
    "cutlass",
    "flashinfer",
    "flashinfer_cubin",
    "quack",
    "terratorch",
    "tilelang",
    "timm",
    "torchaudio",
    "torchvision",
)
# Libraries of operators, and what those answer that are called before any weight is there: whether a
# capability has the kernel, as the GPU wheel of this release is built.
NAMESPACES = (
    "_C",
    "_moe_C",
    "_C_cache_ops",
    "_C_custom_ar",
    "_vllm_fa2_C",
    "_vllm_fa3_C",
    "_flashmla_C",
    "_flashkda_C",
)
ANSWERS: dict[str, Callable[..., int]] = {
    "cutlass_scaled_mm_supports_fp8": lambda capability: capability >= 89,
    "cutlass_scaled_mm_supports_block_fp8": lambda capability: capability >= 90,
    "cutlass_scaled_mm_supports_fp4": lambda capability: capability >= 100,
    "cutlass_group_gemm_supported": lambda capability: capability in range(90, 110),
    "mxfp4_experts_quant_supported": lambda capability: capability >= 100,
    "get_workspace_size": lambda *_: 0,  # memory of a kernel while it runs
}


def install() -> None:
    """Register an import finder and torch operators so that absent GPU packages can be imported."""
    import torch

    sys.meta_path.insert(0, _Finder())
    for name in NAMESPACES:
        setattr(torch.ops, name, _Namespace(name, getattr(torch.ops, name)))
    register = torch.library.register_fake

    def register_fake(operator: Any, *arguments: Any, **named: Any) -> Any:
        """Register a shape function as torch does, but skip it for an absent operator."""
        try:
            if isinstance(operator, str) and operator.partition("::")[0] in NAMESPACES:
                torch._C._dispatch_find_schema_or_throw(operator, "")  # noqa: SLF001 - nothing public answers it
        except RuntimeError:
            return arguments[0] if arguments else lambda function: function
        return register(operator, *arguments, **named)

    torch.library.register_fake = register_fake


class Absent:
    """Code that is not here: it can be named, passed on and decorate; its result is absent as well."""

    def __init__(self, name: str) -> None:
        self.__name__ = self.__qualname__ = name

    def __getattr__(self, name: str) -> "Absent":
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self.__name__}.{name}")

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        decorates = len(arguments) == 1 and not named and isinstance(arguments[0], type | types.FunctionType)
        return arguments[0] if decorates else Absent(f"{self.__name__}()")

    def __mro_entries__(self, _bases: Any) -> tuple[type, ...]:
        return ()


class _AbsentClass(type):
    """The class of an absent class: every attribute exists, and calls return absent objects."""

    def __call__(cls, *_arguments: Any, **_named: Any) -> Any:
        return Absent(f"{cls.__name__}()")

    def __getitem__(cls, _item: Any) -> Any:
        return cls

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{cls.__name__}.{name}")


class _Module(types.ModuleType):
    """A module in which every name exists."""

    __version__: str
    __path__: ClassVar[list[str]] = []  # type: ignore[misc]  # every name below it is a module as well

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _AbsentClass(name, (), {}) if name[0].isupper() else Absent(f"{self.__name__}.{name}")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """An import finder for the absent modules."""

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """Return a ModuleSpec for a listed absent module; None for all others."""
        if name in MODULES or name.startswith(tuple(f"{module}." for module in MODULES)):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        """Return a new stub module in which every attribute exists."""
        module = _Module(spec.name)
        module.__file__, module.__version__ = f"<{spec.name}>", "0.28.0"  # torchvision's, which is asked for
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: a stub module has no code."""


class _Namespace(types.ModuleType):
    """Operators of one library: those that are here, names for the others, and none of the CPU build's."""

    def __init__(self, name: str, real: Any) -> None:
        super().__init__(f"torch.ops.{name}")
        self._real = real

    def __getattr__(self, name: str) -> Any:
        if name in ANSWERS:
            return ANSWERS[name]
        try:
            return getattr(self._real, name)
        except AttributeError:
            if name.startswith("__") or "cpu" in name or "onednn" in name:
                raise
            return Absent(f"{self.__name__}.{name}")
