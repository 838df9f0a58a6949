"""A fake NVML with the calls in use, which fails with pynvml's own errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

MIB = 1024**2


@dataclass(kw_only=True)
class FakeMig:
    """A MIG device. `errors` maps a function's name to the code it fails with."""

    uuid: str
    profile: str
    total_mib: int
    gpu_instance: int = 1
    compute_instance: int = 0
    attributes_mib: int | None = None
    errors: Mapping[str, int] = field(default_factory=dict)
    parent: "FakeGpu | None" = None


@dataclass(kw_only=True)
class FakeGpu:
    """A GPU. `migs` is None without MIG mode, and a list (of None for free places) with it."""

    uuid: str
    bus: str
    name: str | bytes = "NVIDIA H200"
    device: int = 0x2335
    total_mib: int = 143771
    used_mib: int = 0
    capability: tuple[int, int] = (9, 0)
    busy: int = 0
    addressing: int | None = None
    migs: Sequence[FakeMig | None] | None = None
    errors: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for mig in self.migs or ():
            if mig:
                mig.parent = self


class FakeNvml:
    """The functions of pynvml that are used, over `gpus` in NVML's own order."""

    NVMLError = pynvml.NVMLError

    def __init__(
        self, *gpus: FakeGpu, driver: str | bytes = "580.95.05", cuda: int = 13000, **errors: int
    ) -> None:
        self.gpus, self.driver, self.cuda, self.errors = gpus, driver, cuda, errors
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml"):
            self.calls.append(name)
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML_"):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def _fail(self, function: str, handle: FakeGpu | FakeMig | None = None) -> None:
        code = (handle.errors if handle else {}).get(function) or self.errors.get(function)
        if code:
            raise pynvml.NVMLError(code)

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names
        self._fail("nvmlInit")

    def nvmlShutdown(self) -> None:  # noqa: N802
        self._fail("nvmlShutdown")

    def nvmlSystemGetDriverVersion(self) -> str | bytes:  # noqa: N802
        self._fail("nvmlSystemGetDriverVersion")
        return self.driver

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        self._fail("nvmlSystemGetCudaDriverVersion_v2")
        return self.cuda

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._fail("nvmlDeviceGetCount")
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> FakeGpu:  # noqa: N802
        self._fail("nvmlDeviceGetHandleByIndex", self.gpus[number])
        return self.gpus[number]

    def nvmlDeviceGetName(self, handle: FakeGpu | FakeMig) -> str | bytes:  # noqa: N802
        self._fail("nvmlDeviceGetName", handle)
        if isinstance(handle, FakeGpu):
            return handle.name
        assert handle.parent is not None
        return f"{handle.parent.name!s} MIG {handle.profile}"

    def nvmlDeviceGetUUID(self, handle: FakeGpu | FakeMig) -> str:  # noqa: N802
        self._fail("nvmlDeviceGetUUID", handle)
        return handle.uuid

    def nvmlDeviceGetPciInfo(self, handle: FakeGpu) -> Any:  # noqa: N802
        self._fail("nvmlDeviceGetPciInfo", handle)
        return SimpleNamespace(busId=handle.bus, pciDeviceId=handle.device << 16 | 0x10DE)

    def nvmlDeviceGetMemoryInfo(self, handle: FakeGpu | FakeMig) -> Any:  # noqa: N802
        self._fail("nvmlDeviceGetMemoryInfo", handle)
        used = handle.used_mib if isinstance(handle, FakeGpu) else 0
        return SimpleNamespace(
            total=handle.total_mib * MIB, free=(handle.total_mib - used) * MIB, used=used * MIB
        )

    def nvmlDeviceGetCudaComputeCapability(self, handle: FakeGpu) -> tuple[int, int]:  # noqa: N802
        self._fail("nvmlDeviceGetCudaComputeCapability", handle)
        return handle.capability

    def nvmlDeviceGetUtilizationRates(self, handle: FakeGpu) -> Any:  # noqa: N802
        self._fail("nvmlDeviceGetUtilizationRates", handle)
        return SimpleNamespace(gpu=handle.busy, memory=0)

    def nvmlDeviceGetAddressingMode(self, handle: FakeGpu) -> int:  # noqa: N802
        self._fail("nvmlDeviceGetAddressingMode", handle)
        if handle.addressing is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return handle.addressing

    def nvmlDeviceGetMigMode(self, handle: FakeGpu) -> list[int]:  # noqa: N802
        self._fail("nvmlDeviceGetMigMode", handle)
        mode = int(handle.migs is not None)
        return [mode, mode]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: FakeGpu) -> int:  # noqa: N802
        self._fail("nvmlDeviceGetMaxMigDeviceCount", handle)
        return len(handle.migs or ())

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: FakeGpu, number: int) -> FakeMig:  # noqa: N802
        self._fail("nvmlDeviceGetMigDeviceHandleByIndex", handle)
        mig = (handle.migs or ())[number]
        if mig is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return mig

    def nvmlDeviceGetGpuInstanceId(self, handle: FakeMig) -> int:  # noqa: N802
        self._fail("nvmlDeviceGetGpuInstanceId", handle)
        return handle.gpu_instance

    def nvmlDeviceGetComputeInstanceId(self, handle: FakeMig) -> int:  # noqa: N802
        self._fail("nvmlDeviceGetComputeInstanceId", handle)
        return handle.compute_instance

    def nvmlDeviceGetAttributes(self, handle: FakeMig) -> Any:  # noqa: N802
        self._fail("nvmlDeviceGetAttributes", handle)
        if handle.attributes_mib is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(memorySizeMB=handle.attributes_mib)
