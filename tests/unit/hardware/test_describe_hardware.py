"""Hardware as text."""

from dataclasses import replace

from nim.hardware import Gpu, Hardware, Mig, describe_hardware, hardware_from_gpus
from nim.hardware.describe_hardware import name_machine

GIB = 1024**3


def test_all_known() -> None:
    gpu = Gpu(
        index=0,
        name="NVIDIA GeForce RTX 5090",
        uuid="GPU-1",
        pci_address="00000000:01:00.0",
        pci_id="2b85:10de",
        memory_total_bytes=32 * GIB,
        memory_free_bytes=29 * GIB + GIB // 2,
        compute_capability=(12, 0),
        unified_memory=False,
        utilization_percent=9,
    )
    hardware = Hardware(
        gpus=(gpu,),
        source="nvml",
        driver_version="580.95.05",
        cuda_version="13.0",
        notes=("a note",),
        cpu_count=16,
        cpu_quota=2.5,
        cpu_arch="x86_64",
        host_memory_bytes=64 * GIB,
        host_memory_available_bytes=60 * GIB,
        memory_limit_bytes=8 * GIB,
        shm_bytes=GIB,
        shm_free_bytes=GIB // 2,
    )
    line = "[2b85:10de] (0) NVIDIA GeForce RTX 5090, 29.5 GiB of 32.0 GiB free, compute 12.0, 9% busy, GPU-1"
    assert describe_hardware(hardware).splitlines() == [
        "GPUs: 1 (from nvml)",
        f"  {line}, 00000000:01:00.0",
        "  note: a note",
        "Driver: 580.95.05 (CUDA up to 13.0)",
        "CPUs: 16 (x86_64), limited to 2.5",
        "Memory: 60.0 GiB of 64.0 GiB available, limited to 8.0 GiB",
        "Shared memory: 0.5 GiB of 1.0 GiB free",
    ]


def test_nothing_known() -> None:
    text = describe_hardware(Hardware(gpus=(Gpu(index=0),), source="file x"))
    assert "[unknown] (0) unknown GPU, memory unknown, compute unknown" in text
    assert "Driver: unknown (CUDA up to unknown)" in text
    assert "CPUs: unknown (unknown)" in text
    assert "None" not in text


def test_no_gpus() -> None:
    assert describe_hardware(Hardware(gpus=(), source="none")).startswith("GPUs: <none> (from none)")


def test_shared_memory_and_slices() -> None:
    assert "NVIDIA GB10, shares the host's memory" in describe_hardware(hardware_from_gpus("GB10"))
    h200 = hardware_from_gpus("H200")
    slice_ = replace(h200.gpus[0], mig=Mig(profile="1g.18gb"), memory_free_bytes=None)
    text = describe_hardware(replace(h200, gpus=(slice_,)))
    assert "NVIDIA H200, MIG 1g.18gb, unknown of 140.4 GiB free" in text


def test_machines_of_a_kind_have_one_name() -> None:
    slice_ = Gpu(index=0, name="NVIDIA H200", uuid="MIG-1", mig=Mig(profile="1g.18gb"))
    whole = [Gpu(index=n, name="NVIDIA H200", uuid=f"GPU-{n}") for n in range(2)]
    hardware = Hardware(gpus=(), source="none", cpu_count=16, cpu_arch="x86_64", cpu_quota=4)
    assert name_machine(hardware, [*whole, slice_]) == (
        "2 × NVIDIA H200, 1 × NVIDIA H200 1g.18gb, CPUs: 16 (x86_64), limited to 4"
    )
    assert name_machine(hardware, []) == "CPUs: 16 (x86_64), limited to 4"
