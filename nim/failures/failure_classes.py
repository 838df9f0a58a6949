"""Classes of failure: how each shows in a log, what it means, what to do, whether to retry."""

import re

from nim.errors import EngineLost, WeightsError
from nim.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class FailureClass:
    """A class of failure. `retry`: the same start can succeed later. `signs` are regular expressions.

    `exit_code` is that of a service that ends with it.
    """

    name: str
    message: str
    hint: str
    retry: bool
    signs: tuple[str, ...] = ()
    exit_code: int = EngineLost.exit_code

    def matches(self, text: str) -> bool:
        """Return whether a log line matches one of the signs of this class."""
        return any(re.search(sign, text) for sign in self.signs)


FETCH = FailureClass(
    name="fetch",
    message="the model could not be fetched from its source",
    hint="the lines above; `nim fetch` with the same settings tries it without a service",
    retry=True,
    signs=(r"^cannot (?:fetch|use) \w+://",),
    exit_code=WeightsError.exit_code,
)
AUTHENTICATION = FailureClass(
    name="authentication",
    message="the hub refused access to the model",
    hint="HF_TOKEN=… of an account that was granted access on the model's page",
    retry=False,
    signs=(
        r"40[13] Client Error",
        r"GatedRepoError|gated repo",
        r"Invalid (?:user )?token|Invalid credentials in Authorization header",
    ),
)
GPU_OOM = FailureClass(
    name="gpu_oom",
    message="the GPU has too little free memory",
    hint="NIM_MAX_MODEL_LEN=… shorter, or NIM_PASSTHROUGH_ARGS='--gpu-memory-utilization 0.8'; "
    "`nvidia-smi` shows who else holds memory",
    retry=True,
    signs=(
        r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED",
        r"No available memory for the cache blocks",
        r"Free memory on device .* is less than desired GPU memory utilization",
        r"larger than the available KV cache memory",
    ),
)
DAMAGED_WEIGHTS = FailureClass(
    name="damaged_weights",
    message="a file of the model is damaged or cut short",
    hint="NIM_MODEL_PATH=… a whole copy; the sizes of its files must be those at their source",
    retry=False,
    signs=(
        r"SafetensorError|Error while deserializing header|MetadataIncompleteBuffer|InvalidHeader",
        r"PytorchStreamReader failed|UnpicklingError",
        r"size mismatch for ",
    ),
)
MISSING_WEIGHTS = FailureClass(
    name="missing_weights",
    message="files of the model are missing",
    hint="NIM_MODEL_PATH=… the directory with config.json and the weights, or hf://org/name",
    retry=False,
    signs=(
        r"Cannot find any model weights",
        r"does not appear to have a file named|is not a valid model identifier",
        r"Invalid repository ID or local directory|RepositoryNotFoundError|LocalEntryNotFoundError",
        r"FileNotFoundError: .*(?:safetensors|config\.json|tokenizer)",
    ),
)
CUDA_DRIVER = FailureClass(
    name="cuda_driver",
    message="the GPU, its driver or the libraries for it do not work",
    hint="`nvidia-smi`; the driver must be as new as the engine's CUDA needs",
    retry=True,
    signs=(
        r"NVIDIA driver on your system is too old|driver version is insufficient",
        r"no CUDA-capable device|Found no NVIDIA driver|No CUDA GPUs are available",
        r"lib(?:cuda|cudart|nccl)\.so",
        r"Failed to infer device type",
        r"CUDA error: |CUDA driver error|NCCL error|uncorrectable ECC",
    ),
)
PORT_IN_USE = FailureClass(
    name="port_in_use",
    message="an address that the engine wants is taken",
    hint="NIM_BACKEND_PORT=… another port; `ss -ltnp` shows who listens",
    retry=True,
    signs=(r"[Aa]ddress already in use|EADDRINUSE",),
)
HOST_OOM = FailureClass(
    name="host_oom",
    message="the machine has too little memory for the engine",
    hint="a higher memory limit for the container; `dmesg` shows what the kernel has killed",
    retry=True,
    signs=(
        r"Cannot allocate memory|DefaultCPUAllocator: can't allocate memory|std::bad_alloc|\bMemoryError\b",
        r"on kv cache allocation is less than requested memory for kv",
        r"memory allocation of \d+ bytes failed",  # of Rust
        r"No space left on device.*shm|unable to (?:open|mmap|allocate) shared memory",
    ),
)
SHARED_MEMORY = FailureClass(
    name="shared_memory",
    message="there is too little shared memory for the engine's processes to talk to each other",
    hint="`--shm-size=1g`, or in Kubernetes an emptyDir of medium Memory at /dev/shm",
    retry=False,
    signs=(r"Insufficient space in /dev/shm",),
)
BAD_ARGUMENT = FailureClass(
    name="bad_argument",
    message="the engine refused its arguments",
    hint="`nim plan` shows where each argument comes from",
    retry=False,
    signs=(
        r"error: (?:unrecognized arguments|argument |ambiguous option|the following arguments)",
        r"validation errors? for|User-specified max_model_len|Value error, |VLLMValidationError",
        r"invalid (?:tool call|reasoning) parser: ",
    ),
)
STALLED = FailureClass(
    name="stalled",
    message="the engine stood still and was killed",
    hint="NIM_STALL_TIMEOUT=… longer, if one step of this model can take so long",
    retry=True,
)
UNKNOWN = FailureClass(
    name="unknown",
    message="the engine ended for a reason that is not known here",
    hint="the lines above; the whole log with NIM_LOG_LEVEL=DEBUG",
    retry=True,
)
NGINX_LOST = FailureClass(
    name="gateway_lost",
    message="nginx ended again and again, or could not be started",
    hint="`nginx -t -c RUN_DIR/nginx.conf`",
    retry=False,
)
SUPERVISOR_LOST = FailureClass(
    name="gateway_lost",
    message="supervisord ended, which was not requested",
    hint="`dmesg` shows whether the kernel has killed it; the service can be started again",
    retry=False,
)

# The first class with a match anywhere in the log is taken: possible causes stand before their effects.
FAILURE_CLASSES = (
    FETCH,
    AUTHENTICATION,
    GPU_OOM,
    DAMAGED_WEIGHTS,
    MISSING_WEIGHTS,
    CUDA_DRIVER,
    PORT_IN_USE,
    SHARED_MEMORY,
    HOST_OOM,
    BAD_ARGUMENT,
)
ENGINE_LOSS_CLASSES = (*FAILURE_CLASSES, STALLED, UNKNOWN)
"""Every class that a loss of the engine can have."""


def exit_code_of(kind: str) -> int:
    """Return the exit code of a service that ends with a loss of the engine of this class."""
    return next(loss.exit_code for loss in ENGINE_LOSS_CLASSES if loss.name == kind)
