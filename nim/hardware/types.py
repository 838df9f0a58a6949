"""Frozen classes for a machine's hardware. None means unknown, never zero."""

from nim.frozen_dataclass import frozen_dataclass

MIB = 1024**2
GIB = 1024**3
GB = 1000**3


@frozen_dataclass
class Mig:
    """The slice and its GPU. CUDA gives a process one MIG device, never several."""

    profile: str | None = None
    parent_uuid: str | None = None
    gpu_instance_id: int | None = None
    compute_instance_id: int | None = None


@frozen_dataclass
class Gpu:
    """A device an engine can use: a whole GPU or one MIG device.

    `index` is CUDA's number under CUDA_DEVICE_ORDER=PCI_BUS_ID; a MIG device has its parent's, and its
    parent's name and PCI address. `pci_id` is "device:vendor", as "2335:10de".
    Memory is the GPU's own: None with `unified_memory` true means that it draws on the host's.
    """

    index: int
    name: str | None = None
    uuid: str | None = None
    pci_address: str | None = None
    pci_id: str | None = None
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    compute_capability: tuple[int, int] | None = None
    unified_memory: bool | None = None
    utilization_percent: int | None = None
    mig: Mig | None = None


@frozen_dataclass
class Host:
    """The host around the GPUs. A limit is None if none is set.

    `cpu_count` is how many CPUs this process may run on, `cpu_quota` how many CPUs' worth of time it gets.
    """

    cpu_count: int | None = None
    cpu_quota: float | None = None
    cpu_arch: str | None = None
    host_memory_bytes: int | None = None
    host_memory_available_bytes: int | None = None
    memory_limit_bytes: int | None = None
    shm_bytes: int | None = None
    shm_free_bytes: int | None = None


@frozen_dataclass
class Hardware(Host):
    """Everything visible of one machine. `gpus` has the order in which the engine numbers them.

    `source` says where this comes from: "nvml", "none", "file X" or "--gpus 8xH200".
    `cuda_version` is the highest that the driver's libcuda supports. `notes` are what a reader should know.
    """

    gpus: tuple[Gpu, ...]
    source: str
    driver_version: str | None = None
    cuda_version: str | None = None
    notes: tuple[str, ...] = ()
