"""Catalog rows for KV cache types: the attention backend that serves each, per GPU generation."""

import contextlib
import typing
import unittest.mock
from typing import Any

from nim.engine.inspection.pretend_gpu_build import set_capability

# Generations that the GPU build has kernels for, and the larger Blackwell, which uses those of 10.0.
CAPABILITIES = ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0))
_OTHER_PLATFORMS = ("ROCM_", "XPU_", "CPU_", "AMX_")
_HEAD_SIZES = {"attention": 128, "mla": 576, "sparse mla": 576}


def cache_rows() -> dict[str, dict[str, Any]]:
    """Return --kv-cache-dtype → kind of attention → compute capability → backend, asked of vLLM.

    Plain attention is a decoder with heads of 128, without sinks, bias or a sliding window; MLA has
    DeepSeek's sizes. Models with other sizes may have fewer backends.
    """
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.config.cache import CacheDType

    names = sorted(typing.get_args(CacheDType))
    rows: dict[str, dict[str, Any]] = {name: {} for name in names}
    _import_cutlass_mla()
    with set_current_vllm_config(VllmConfig()):
        for capability in CAPABILITIES:
            set_capability(capability)
            for name in names:
                for kind in _HEAD_SIZES:
                    if backend := _backend(kind, name):
                        rows[name].setdefault(kind, {})[".".join(map(str, capability))] = backend
    return rows


def backend_rows() -> dict[str, dict[str, Any]]:
    """Return attention backend → row (kind, compute capabilities, cache types), asked of vLLM.

    `capabilities` are those of GPUs, `cache_dtypes` the values of `--kv-cache-dtype` on any of these. A
    backend whose class cannot be imported, such as one that a plugin registers, is omitted.
    """
    from vllm.v1.attention.backends.registry import AttentionBackendEnum

    found: dict[str, Any] = {}
    for name, member in sorted(AttentionBackendEnum.__members__.items()):
        with contextlib.suppress(ImportError, ValueError, AttributeError):
            found |= {} if name.startswith(_OTHER_PLATFORMS) else {name: member.get_class()}
    rows = {name: _backend_row(backend) for name, backend in found.items()}
    for capability in CAPABILITIES:
        set_capability(capability)
        for name, backend in found.items():
            _add_capability(rows[name], backend, capability)
    return {name: {**row, "cache_dtypes": sorted(row["cache_dtypes"])} for name, row in rows.items()}


def _backend_row(backend: Any) -> dict[str, Any]:
    """Return a new row (dict) with the backend's kind, and no capabilities and cache types yet."""
    kind = "attention" if not backend.is_mla() else "sparse mla" if backend.is_sparse() else "mla"
    return {"kind": kind, "capabilities": [], "cache_dtypes": set()}


def _add_capability(row: dict[str, Any], backend: Any, capability: tuple[int, int]) -> None:
    """Add to `row` the capability and cache types if `backend` supports them. Changes `row`."""
    from vllm.config.cache import CacheDType
    from vllm.platforms.interface import DeviceCapability

    if backend.supports_compute_capability(DeviceCapability(*capability)):
        row["capabilities"].append(".".join(map(str, capability)))
        row["cache_dtypes"] |= {
            name for name in typing.get_args(CacheDType) if backend.supports_kv_cache_dtype(name)
        }


def _backend(kind: str, cache_dtype: str) -> str | None:
    """Return the name of vLLM's first-choice backend; None if none, or if it refuses this cache type."""
    import torch
    from vllm.platforms import current_platform
    from vllm.v1.attention.selector import AttentionSelectorConfig

    wanted = AttentionSelectorConfig(
        head_size=_HEAD_SIZES[kind],
        dtype=torch.bfloat16 if current_platform.has_device_capability(80) else torch.float16,
        kv_cache_dtype=cache_dtype,
        block_size=None,
        use_mla=kind != "attention",
        use_sparse=kind == "sparse mla",
    )
    valid, _ = current_platform.get_valid_backends(current_platform.get_device_capability(), wanted, 128)
    first = min(valid, key=lambda candidate: candidate.priority, default=None)
    if first is None or not _is_implemented(first.backend_class, wanted):
        return None
    return str(first.backend.name)


def _is_implemented(backend: Any, wanted: Any) -> bool:
    """Return True if the backend's implementation accepts the cache type, found by building one."""
    found = backend.get_impl_cls()
    if "triton" not in found.__module__:
        return True

    def common(self: Any, *arguments: Any, **_: Any) -> None:
        """Set `kv_cache_dtype` of the implementation, in place of its own constructor."""
        self.kv_cache_dtype = arguments[6]

    with unittest.mock.patch.object(found.__mro__[1], "__init__", common):
        try:
            found(
                8, wanted.head_size, 1.0, 8, None, None, wanted.kv_cache_dtype, None, wanted.attn_type, None
            )
        except ValueError:
            return False
    return True


def _import_cutlass_mla() -> None:
    """Import the CUTLASS MLA backend with torch.empty patched, as it allocates GPU memory."""
    import torch
    from vllm.v1.attention.backends.registry import AttentionBackendEnum

    with unittest.mock.patch.object(torch, "empty"):
        AttentionBackendEnum.CUTLASS_MLA.get_class()
