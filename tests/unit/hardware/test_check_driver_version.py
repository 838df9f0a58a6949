"""An old driver is refused with an explanation, and nothing else is."""

from dataclasses import replace

import pytest

from nim.errors import HardwareError
from nim.hardware import Hardware, hardware_from_gpus, refuse_old_driver


def machine(driver: str | None, *, cuda: str | None = None, gpus: str = "8xH100") -> Hardware:
    return replace(hardware_from_gpus(gpus), driver_version=driver, cuda_version=cuda)


@pytest.mark.parametrize("driver", ["580.65.06", "580", "595.71.05", None, "", "unknown"])
def test_new_enough_or_unknown(driver: str | None) -> None:
    refuse_old_driver(machine(driver), 580)


def test_without_a_gpu_no_driver_matters() -> None:
    refuse_old_driver(Hardware(gpus=(), source="none", driver_version="470.1"), 580)


@pytest.mark.parametrize("driver", ["579.99", "570.172.08", "535.183.01", "99.1"])
def test_too_old_names_found_needed_and_remedy(driver: str) -> None:
    with pytest.raises(HardwareError) as caught:
        refuse_old_driver(machine(driver, cuda="12.8"), 580)
    assert caught.value.message == (
        f'cannot run the engine on the NVIDIA driver "{driver}": it needs driver 580 or newer (CUDA 13)'
    )
    assert caught.value.hint == (
        "install driver branch 580 on the host, or the CUDA forward-compatibility package cuda-compat-13-0 "
        "in the container"
    )
    assert caught.value.exit_code == 4


def test_a_forward_compatibility_package_at_work_is_enough() -> None:
    refuse_old_driver(machine("550.54.15", cuda="13.0"), 580)


def test_geforce_gets_no_hint_to_a_package_it_cannot_use() -> None:
    with pytest.raises(HardwareError) as caught:
        refuse_old_driver(machine("570.1", cuda="13.0", gpus="RTX 4090"), 580)
    assert caught.value.hint == "install driver branch 580 on the host"


def test_other_branches() -> None:
    refuse_old_driver(machine("535.1"), 525)
    with pytest.raises(HardwareError, match=r"it needs driver 525 or newer \(CUDA 12\)"):
        refuse_old_driver(machine("470.1"), 525)
    with pytest.raises(HardwareError, match=r"it needs driver 390 or newer\n"):
        refuse_old_driver(machine("384.1"), 390)
