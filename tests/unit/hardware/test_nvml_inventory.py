"""NVML's answers become values, and missing answers become None."""

import pynvml
import pytest

from nim.errors import HardwareError
from nim.hardware.nvml_inventory import take_inventory
from tests.unit.hardware.fake_nvml import MIB, FakeGpu, FakeMig, FakeNvml

NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
NO_PERMISSION = pynvml.NVML_ERROR_NO_PERMISSION


def gpu(number: int, **how: object) -> FakeGpu:
    return FakeGpu(uuid=f"GPU-{number:08x}-0000", bus=f"00000000:{number + 16:02X}:00.0", **how)  # type: ignore[arg-type]


def test_a_gpu_is_read_whole() -> None:
    nvml = FakeNvml(gpu(0, used_mib=1000, busy=37))

    seen = take_inventory(nvml)

    (found,) = seen.gpus
    assert (found.index, found.name, found.uuid) == (0, "NVIDIA H200", "GPU-00000000-0000")
    assert (found.pci_address, found.pci_id) == ("00000000:10:00.0", "2335:10de")
    assert found.memory_total_bytes == 143771 * MIB
    assert found.memory_free_bytes == 142771 * MIB
    assert found.compute_capability == (9, 0)
    assert found.utilization_percent == 37
    assert found.unified_memory is False
    assert found.mig is None
    assert (seen.driver_version, seen.cuda_version, seen.notes) == ("580.95.05", "13.0", ())


@pytest.mark.parametrize(("number", "text"), [(13000, "13.0"), (12080, "12.8"), (13010, "13.1"), (0, None)])
def test_cuda_version(number: int, text: str | None) -> None:
    assert take_inventory(FakeNvml(cuda=number)).cuda_version == text


def test_older_bindings_answer_in_bytes() -> None:
    seen = take_inventory(FakeNvml(gpu(0, name=b"NVIDIA L4"), driver=b"535.183.01"))
    assert (seen.gpus[0].name, seen.driver_version) == ("NVIDIA L4", "535.183.01")


@pytest.mark.parametrize("code", [NOT_SUPPORTED, NO_PERMISSION, pynvml.NVML_ERROR_UNKNOWN])
@pytest.mark.parametrize(
    ("function", "field"),
    [
        ("nvmlDeviceGetName", "name"),
        ("nvmlDeviceGetUUID", "uuid"),
        ("nvmlDeviceGetPciInfo", "pci_address"),
        ("nvmlDeviceGetPciInfo", "pci_id"),
        ("nvmlDeviceGetMemoryInfo", "memory_total_bytes"),
        ("nvmlDeviceGetMemoryInfo", "memory_free_bytes"),
        ("nvmlDeviceGetCudaComputeCapability", "compute_capability"),
        ("nvmlDeviceGetUtilizationRates", "utilization_percent"),
    ],
)
def test_whatever_nvml_cannot_say_is_none(function: str, field: str, code: int) -> None:
    (found,) = take_inventory(FakeNvml(gpu(0, errors={function: code}))).gpus
    assert getattr(found, field) is None


def test_memory_of_nothing_is_unknown_and_not_zero() -> None:
    (found,) = take_inventory(FakeNvml(gpu(0, name="NVIDIA Thing", total_mib=0))).gpus
    assert (found.memory_total_bytes, found.memory_free_bytes) == (None, None)


def test_a_binding_too_old_for_a_question_answers_none() -> None:
    class Old(FakeNvml):
        nvmlDeviceGetAddressingMode = None  # type: ignore[assignment]  # noqa: N815

    (found,) = take_inventory(Old(gpu(0, name="NVIDIA Thing"))).gpus
    assert found.unified_memory is None


@pytest.mark.parametrize(
    ("name", "mode", "unified"),
    [
        ("NVIDIA GH200 480GB", pynvml.NVML_DEVICE_ADDRESSING_MODE_ATS, True),
        ("NVIDIA GH200 480GB", None, True),
        ("NVIDIA GB10", pynvml.NVML_DEVICE_ADDRESSING_MODE_NONE, True),
        ("NVIDIA H200", pynvml.NVML_DEVICE_ADDRESSING_MODE_HMM, False),
        ("NVIDIA H200", None, False),
        ("NVIDIA Unheard-Of", pynvml.NVML_DEVICE_ADDRESSING_MODE_ATS, True),
        ("NVIDIA Unheard-Of", pynvml.NVML_DEVICE_ADDRESSING_MODE_NONE, False),
        ("NVIDIA Unheard-Of", None, None),
    ],
)
def test_unified_memory_is_what_nvml_or_the_product_says_else_unknown(
    name: str, mode: int | None, unified: bool | None
) -> None:
    (found,) = take_inventory(FakeNvml(gpu(0, name=name, addressing=mode))).gpus
    assert found.unified_memory is unified


def test_gb10_has_no_memory_of_its_own() -> None:
    refusing = gpu(0, name="NVIDIA GB10", device=0x2E12, errors={"nvmlDeviceGetMemoryInfo": NOT_SUPPORTED})
    answering = gpu(0, name="NVIDIA GB10", device=0x2E12, total_mib=122000)  # the host's, page cache as used
    for machine in (refusing, answering):
        (found,) = take_inventory(FakeNvml(machine)).gpus
        assert (found.memory_total_bytes, found.memory_free_bytes) == (None, None)
        assert found.unified_memory is True


def test_gh200_has_memory_of_its_own() -> None:
    (found,) = take_inventory(FakeNvml(gpu(0, name="NVIDIA GH200 480GB", total_mib=97871))).gpus
    assert found.memory_total_bytes == 97871 * MIB
    assert found.unified_memory is True


def test_order_is_that_of_pci_whatever_nvml_enumerates() -> None:
    seen = take_inventory(FakeNvml(gpu(3), gpu(1), gpu(2)))
    assert [(g.index, g.pci_address) for g in seen.gpus] == [
        (0, "00000000:11:00.0"),
        (1, "00000000:12:00.0"),
        (2, "00000000:13:00.0"),
    ]


def test_order_is_nvmls_where_an_address_is_unknown() -> None:
    seen = take_inventory(FakeNvml(gpu(3), gpu(1, errors={"nvmlDeviceGetPciInfo": NOT_SUPPORTED})))
    assert [g.uuid for g in seen.gpus] == ["GPU-00000003-0000", "GPU-00000001-0000"]


def test_a_gpu_that_may_not_be_opened_is_left_out_and_noted() -> None:
    seen = take_inventory(FakeNvml(gpu(0, errors={"nvmlDeviceGetHandleByIndex": NO_PERMISSION}), gpu(1)))
    assert [(g.index, g.uuid) for g in seen.gpus] == [(0, "GPU-00000001-0000")]
    assert seen.notes == ("NVML's GPU 0 of 2 may not be opened by this process",)


def test_a_lost_gpu_is_refused_by_number() -> None:
    nvml = FakeNvml(gpu(0), gpu(1, errors={"nvmlDeviceGetHandleByIndex": pynvml.NVML_ERROR_GPU_IS_LOST}))
    with pytest.raises(HardwareError, match=r"cannot open GPU 1 of 2: NVML says: GPU is lost"):
        take_inventory(nvml)
    assert "nvmlShutdown" in nvml.calls


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED])
def test_no_driver_is_no_gpus(code: int) -> None:
    seen = take_inventory(FakeNvml(gpu(0), nvmlInit=code))
    assert (seen.gpus, seen.driver_version) == ((), None)
    assert seen.notes == ("NVIDIA's driver is not loaded",)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "different versions"),
        (NO_PERMISSION, "may not open /dev/nvidiactl"),
        (pynvml.NVML_ERROR_UNKNOWN, "the driver does not answer"),
        (pynvml.NVML_ERROR_MEMORY, "NVML says: Insufficient Memory"),
    ],
)
def test_a_broken_driver_is_refused_in_words(code: int, words: str) -> None:
    with pytest.raises(HardwareError, match=rf"^cannot look at the GPUs: .*{words}") as caught:
        take_inventory(FakeNvml(gpu(0), nvmlInit=code))
    assert "CUDA_VISIBLE_DEVICES=" in (caught.value.hint or "")


def test_detection_changes_nothing_and_closes_nvml() -> None:
    nvml = FakeNvml(gpu(0), gpu(1, migs=[mig(1)]))
    take_inventory(nvml)
    assert nvml.calls[0] == "nvmlInit"
    assert nvml.calls[-1] == "nvmlShutdown"
    assert not [name for name in nvml.calls if "Set" in name or "Reset" in name]


def mig(number: int, **how: object) -> FakeMig:
    values: dict[str, object] = {"profile": "1g.18gb", "total_mib": 16384, "gpu_instance": number + 6}
    return FakeMig(uuid=f"MIG-{number:08x}-aaaa", **(values | how))  # type: ignore[arg-type]


def test_a_divided_gpu_is_there_as_its_slices() -> None:
    seen = take_inventory(FakeNvml(gpu(0, migs=[mig(1), None, mig(2)]), gpu(1)))

    first, second, whole = seen.gpus
    assert (first.index, second.index, whole.index) == (0, 0, 1)
    assert (first.uuid, second.uuid) == ("MIG-00000001-aaaa", "MIG-00000002-aaaa")
    assert first.name == "NVIDIA H200"
    assert first.pci_id == "2335:10de"
    assert first.memory_total_bytes == 16384 * MIB
    assert first.compute_capability == (9, 0)
    assert first.utilization_percent is None
    assert first.mig is not None
    assert (first.mig.profile, first.mig.parent_uuid) == ("1g.18gb", "GPU-00000000-0000")
    assert (first.mig.gpu_instance_id, first.mig.compute_instance_id) == (7, 0)
    assert whole.mig is None
    assert seen.notes == ()


def test_a_divided_gpu_without_a_visible_slice_is_noted() -> None:
    seen = take_inventory(FakeNvml(gpu(0, migs=[None, None])))
    assert seen.gpus == ()
    assert seen.notes == ("GPU 0 (GPU-00000000-0000) is divided by MIG, and no slice is visible",)


@pytest.mark.parametrize(
    ("attributes_mib", "total", "free"),
    [(16384, 16384 * MIB, None), (None, None, None), (143771, None, None)],
)
def test_the_parents_memory_is_not_believed_of_a_slice(
    attributes_mib: int | None, total: int | None, free: int | None
) -> None:
    slice_ = mig(1, total_mib=143771, attributes_mib=attributes_mib)
    (found,) = take_inventory(FakeNvml(gpu(0, migs=[slice_]))).gpus
    assert (found.memory_total_bytes, found.memory_free_bytes) == (total, free)


def test_a_slice_whose_memory_may_not_be_asked_has_unknown_memory() -> None:
    slice_ = mig(1, errors={"nvmlDeviceGetMemoryInfo": NO_PERMISSION})
    (found,) = take_inventory(FakeNvml(gpu(0, migs=[slice_]))).gpus
    assert (found.memory_total_bytes, found.memory_free_bytes) == (None, None)


def test_where_mig_may_not_be_asked_for_the_parents_memory_is_not_reported() -> None:
    seen = take_inventory(FakeNvml(gpu(0, errors={"nvmlDeviceGetMigMode": NO_PERMISSION})))
    (found,) = seen.gpus
    assert (found.memory_total_bytes, found.memory_free_bytes) == (None, None)
    assert seen.notes == ("GPU 0: NVML does not say whether MIG divides it: its memory is unknown",)


def test_a_gpu_that_does_not_know_mig_is_whole() -> None:
    (found,) = take_inventory(FakeNvml(gpu(0, errors={"nvmlDeviceGetMigMode": NOT_SUPPORTED}))).gpus
    assert found.memory_total_bytes == 143771 * MIB
