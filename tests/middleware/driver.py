"""A GPU driver for machines without one."""
# ruff: noqa: N802, ARG002 - the names and arguments are NVML's

from threading import Event
from types import SimpleNamespace
from typing import Any

from tests.middleware.conftest import GENEROUS_SECONDS


class Driver:
    """As NVML where there is no GPU to ask: three GPUs, the second telling its name only, the third lost."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        """As the bindings' own."""

    def __init__(self) -> None:
        self.answers = Event()
        self.answers.set()
        self.counted = 0

    def nvmlDeviceGetCount(self) -> int:
        self.counted += 1
        self.answers.wait(GENEROUS_SECONDS)
        return 3

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index == 2:
            raise self.NVMLError("GPU is lost")
        return index

    def nvmlDeviceGetName(self, gpu: int) -> str:
        return "NVIDIA H200"

    def nvmlDeviceGetUUID(self, gpu: int) -> str:
        return f"GPU-{gpu}"

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> Any:
        return SimpleNamespace(gpu=self._report_lines(gpu, 37), memory=5)

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> Any:
        return SimpleNamespace(used=self._report_lines(gpu, 1 << 30), total=1 << 37)

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:
        return self._report_lines(gpu, 123_456)

    def nvmlDeviceGetTemperature(self, gpu: int, sensor: int) -> int:
        return self._report_lines(gpu, 0)

    def _report_lines(self, gpu: int, answer: int) -> int:
        if gpu:
            raise self.NVMLError("Not Supported")
        return answer
