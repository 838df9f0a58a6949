"""Detection as a whole: this machine, and NVML, environment and host joined."""

import ctypes
import subprocess
import sys

import pynvml
import pytest

from nim.errors import HardwareError
from nim.hardware import Hardware, Host, detect_hardware
from nim.hardware.detect import join
from nim.hardware.nvml_inventory import load_nvml, take_inventory
from tests.unit.hardware.fake_nvml import FakeGpu, FakeNvml


def has_nvml() -> bool:
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


without_nvml = pytest.mark.skipif(has_nvml(), reason="NVIDIA's driver is installed here")
TWO = FakeNvml(FakeGpu(uuid="GPU-aa", bus="00000000:10:00.0"), FakeGpu(uuid="GPU-bb", bus="00000000:20:00.0"))


@without_nvml
def test_without_the_drivers_library_there_are_no_gpus() -> None:
    assert load_nvml() is None
    hardware = detect_hardware({})
    assert (hardware.gpus, hardware.source, hardware.driver_version) == ((), "none", None)
    assert hardware.notes == ("NVIDIA's driver is not installed here",)
    assert hardware.host_memory_bytes


@without_nvml
def test_without_the_drivers_library_pynvml_is_not_even_imported() -> None:
    code = (
        "import sys, nim.hardware as h; before = 'ctypes' in sys.modules; h.detect_hardware({}); "
        "print(before, 'pynvml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@without_nvml
def test_a_gpu_asked_for_where_there_is_none_is_refused() -> None:
    with pytest.raises(
        HardwareError, match=r'cannot use CUDA_VISIBLE_DEVICES "0": .*driver is not installed'
    ):
        detect_hardware({"CUDA_VISIBLE_DEVICES": "0"})


@pytest.mark.parametrize(
    ("environ", "note"),
    [
        ({"CUDA_VISIBLE_DEVICES": ""}, 'CUDA_VISIBLE_DEVICES="" hides every GPU'),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, 'CUDA_VISIBLE_DEVICES="-1" hides every GPU'),
        ({"NVIDIA_VISIBLE_DEVICES": "none"}, 'NVIDIA_VISIBLE_DEVICES="none" hides every GPU'),
    ],
)
def test_hidden_gpus_are_not_searched(environ: dict[str, str], note: str) -> None:
    hardware = detect_hardware(environ)
    assert (hardware.gpus, hardware.source, hardware.notes) == ((), "none", (note,))


def test_everything_joined() -> None:
    host = Host(cpu_count=64, cpu_quota=8.0, cpu_arch="x86_64", host_memory_bytes=1 << 40, shm_bytes=1 << 26)
    found = join(take_inventory(TWO), {"CUDA_VISIBLE_DEVICES": "1,0"}, host, source="nvml")
    assert isinstance(found, Hardware)
    assert [(gpu.index, gpu.uuid) for gpu in found.gpus] == [(1, "GPU-bb"), (0, "GPU-aa")]
    assert (found.source, found.driver_version, found.cuda_version) == ("nvml", "580.95.05", "13.0")
    assert (found.cpu_count, found.cpu_quota, found.cpu_arch) == (64, 8.0, "x86_64")
    assert (found.host_memory_bytes, found.memory_limit_bytes, found.shm_bytes) == (1 << 40, None, 1 << 26)


def test_a_note_of_nvmls_explains_a_missing_gpu() -> None:
    closed = FakeGpu(
        uuid="GPU-aa",
        bus="00000000:10:00.0",
        errors={"nvmlDeviceGetHandleByIndex": pynvml.NVML_ERROR_NO_PERMISSION},
    )
    with pytest.raises(HardwareError, match="no GPU is visible here; NVML's GPU 0 of 1 may not be opened"):
        join(take_inventory(FakeNvml(closed)), {"CUDA_VISIBLE_DEVICES": "0"}, Host(), source="nvml")
