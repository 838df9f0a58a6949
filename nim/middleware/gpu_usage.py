"""GPU usage, read through NVML in a background thread."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any

from nim.frozen_dataclass import frozen_dataclass

log = logging.getLogger(__name__)

CACHE_SECONDS = 1.0
NVML_TIMEOUT_SECONDS = 0.5


@frozen_dataclass
class GpuReading:
    """One GPU at one moment. What the driver does not report (MIG slice, shared memory) is None."""

    index: int
    uuid: str | None
    name: str | None
    utilization_ratio: float | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    power_watts: float | None
    temperature_celsius: float | None


def load_nvml() -> Any | None:
    """Return the module pynvml, initialised; None without NVIDIA's driver or if it fails."""
    import ctypes

    try:
        ctypes.CDLL("libnvidia-ml.so.1")  # tried first: without it, importing the bindings would cost 2 MB
    except OSError:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        log.warning("cannot read the GPUs: %s", error)
        return None
    return pynvml


class Gpus:
    """The GPUs of this machine. Readings are cached for a second; a hanging driver delays nothing else."""

    def __init__(self, load: Callable[[], Any | None] = load_nvml) -> None:
        self._load = load
        self._nvml: Any | None = None
        self._absent = False
        self._reading: asyncio.Future[tuple[GpuReading, ...]] | None = None
        self._read_at = 0.0

    async def read(self) -> tuple[GpuReading, ...]:
        """Return a tuple of one GpuReading per GPU; empty without GPUs or if the driver is too slow."""
        if self._absent:
            return ()
        loop = asyncio.get_running_loop()
        reading = self._reading
        if reading is None or (reading.done() and loop.time() - self._read_at >= CACHE_SECONDS):
            reading = self._reading = loop.create_future()
            # A daemon: a thread that hangs in the driver must not delay our exit.
            Thread(target=self._read_into, args=(loop, reading), name="nvml", daemon=True).start()
        await asyncio.wait({reading}, timeout=NVML_TIMEOUT_SECONDS)
        return reading.result() if reading.done() else ()

    def _read_into(
        self, loop: asyncio.AbstractEventLoop, reading: asyncio.Future[tuple[GpuReading, ...]]
    ) -> None:
        """Read all GPUs in the thread, and set the future `reading` in the event loop if it still runs."""
        gpus = self._read_all()

        def settle() -> None:
            """Set the future's result in the event loop."""
            self._read_at = loop.time()
            reading.set_result(gpus)

        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle)

    def _read_all(self) -> tuple[GpuReading, ...]:
        """Return a tuple of one GpuReading per GPU; empty if the driver fails."""
        try:
            self._nvml = self._nvml or self._load()
            if self._nvml is None:
                self._absent = True
                return ()
            found = [_read(self._nvml, index) for index in range(self._nvml.nvmlDeviceGetCount())]
            return tuple(gpu for gpu in found if gpu is not None)
        except Exception as error:  # a scrape is answered whatever the driver does
            log.debug("cannot read the GPUs: %r", error)
            return ()


def _read(nvml: Any, index: int) -> GpuReading | None:
    """Return the GpuReading of the GPU at `index`; None if it no longer responds."""
    try:
        gpu = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError:
        return None

    def read_value(function: str, *arguments: Any) -> Any | None:
        """Return what NVML's named function answers for this GPU; None if it has no answer."""
        try:
            return getattr(nvml, function)(gpu, *arguments)
        except nvml.NVMLError:
            return None

    used = read_value("nvmlDeviceGetUtilizationRates")
    memory = read_value("nvmlDeviceGetMemoryInfo")
    power_milliwatts = read_value("nvmlDeviceGetPowerUsage")
    return GpuReading(
        index=index,
        uuid=read_value("nvmlDeviceGetUUID"),
        name=read_value("nvmlDeviceGetName"),
        utilization_ratio=used.gpu / 100 if used else None,
        memory_used_bytes=memory.used if memory else None,
        memory_total_bytes=memory.total if memory else None,
        power_watts=power_milliwatts / 1000 if power_milliwatts is not None else None,
        temperature_celsius=read_value("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
    )
