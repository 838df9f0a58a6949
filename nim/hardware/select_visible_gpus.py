"""Select the GPUs that the engine may use, in its order: CUDA_VISIBLE_DEVICES, NVIDIA_VISIBLE_DEVICES.

CUDA reads CUDA_VISIBLE_DEVICES as a list of indexes, or of "GPU-…" UUIDs, or of "MIG-…" names; a UUID may be
shortened to a unique beginning. It keeps the list's order, stops silently at the first entry that it cannot
use, and shows nothing at all when one is repeated. We refuse in both cases, because a service on fewer GPUs
than asked for is worse than none; only -1, which people write to end a list, ends it here, too.

NVIDIA_VISIBLE_DEVICES is the container runtime's: when we run, it has been applied, and its indexes are the
host's, not ours. So it only ever narrows by UUID (a privileged container sees all GPUs of the host) or by
"none"; "all", "void", an empty value, indexes and CDI names say nothing about what is visible in here:
"void" in particular is what a container has whose GPUs came through CDI.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from nim.errors import HardwareError
from nim.hardware.types import Gpu

CUDA = "CUDA_VISIBLE_DEVICES"
RUNTIME = "NVIDIA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
_ORDERS = ("PCI_BUS_ID", "FASTEST_FIRST")
_NO_GPUS = ("", "none", "void", "nodevfiles")  # the last is written by Slurm
_END = "-1"
_INDEXES, _GPU_UUIDS, _MIG_NAMES, _OTHER = "indexes", "GPU UUIDs", "MIG names", "other words"


def hiding_variable(environ: Mapping[str, str]) -> str | None:
    """Return the setting that hides every GPU, as 'NAME="value"'; None if none does."""
    cuda, runtime = environ.get(CUDA), environ.get(RUNTIME)
    if cuda is not None and (cuda.strip().lower() in _NO_GPUS or _entries(cuda)[0] == _END):
        return f'{CUDA}="{cuda}"'
    if runtime is not None and runtime.strip().lower() == "none":
        return f'{RUNTIME}="{runtime}"'
    return None


def visible_gpus(
    gpus: Sequence[Gpu], environ: Mapping[str, str], notes: Sequence[str] = ()
) -> tuple[Gpu, ...]:
    """Return a tuple of those of `gpus` the engine can see, in its order; HardwareError if one is unknown.

    HardwareError where a variable names what does not exist; `notes` then help to say why it does not.
    """
    if hiding_variable(environ):
        return ()
    granted = _granted(_List(RUNTIME, environ.get(RUNTIME, ""), tuple(gpus), tuple(notes)))
    if CUDA not in environ:
        return granted
    wanted = _List(CUDA, environ[CUDA], tuple(gpus), tuple(notes))
    chosen = _chosen(wanted, environ.get(ORDER))
    for gpu in chosen:
        if gpu not in granted:
            wanted.refuse(f"{RUNTIME} does not grant {_label(gpu)}", granted)
    return chosen


@dataclass(frozen=True, slots=True)
class _List:
    """A variable's list, and the devices its entries can refer to."""

    variable: str
    value: str
    gpus: tuple[Gpu, ...]
    notes: tuple[str, ...]

    def find(self, entry: str) -> list[Gpu]:
        """Return the devices that an entry names (a GPU: all its MIG devices); HardwareError if none."""
        if _kind(entry) == _INDEXES:
            number = entry.lstrip("0") or "0"
            return [gpu for gpu in self.gpus if str(gpu.index) == number] or self.refuse(
                f"there is no GPU {entry}"
            )
        exact = [gpu for gpu in self.gpus if entry in _names(gpu)]
        found = exact or [gpu for gpu in self.gpus if any(name.startswith(entry) for name in _names(gpu))]
        if not found or entry in ("", "GPU-", "MIG-"):
            self.refuse(f'"{entry}" {_why_unknown(entry)}')
        if len({_identity(gpu, entry) for gpu in found}) > 1:
            self.refuse(f'"{entry}" is the beginning of several', found)
        return found

    def refuse(self, why: str, existing: Sequence[Gpu] | None = None) -> NoReturn:
        """Raise HardwareError "cannot use `variable`: `why`" with the existing devices; never returns."""
        existing = self.gpus if existing is None else existing
        reasons = [why] if existing else [why, "no GPU is visible here", *self.notes]
        raise HardwareError(
            f'cannot use {self.variable} "{self.value}": {"; ".join(reasons)}',
            allowed=[_label(gpu) for gpu in existing],
            hint=self._way_out(),
        )

    def _way_out(self) -> str:
        """Return the hint of what to type instead of the list."""
        if self.variable == RUNTIME:
            return f"start the container with the GPUs it names, or {RUNTIME}=void where the list is stale"
        if self.gpus:
            return f"unset {CUDA} to use all"
        return f"unset {CUDA}, or start the container with --gpus all"


def _granted(runtime: _List) -> tuple[Gpu, ...]:
    """Return a tuple of the GPUs that NVIDIA_VISIBLE_DEVICES grants: all, unless every entry is a UUID."""
    entries = _entries(runtime.value)
    if not all(_kind(entry) in (_GPU_UUIDS, _MIG_NAMES) for entry in entries):
        return runtime.gpus
    named = [gpu for entry in entries for gpu in runtime.find(entry)]
    return tuple(gpu for gpu in runtime.gpus if gpu in named)


def _chosen(wanted: _List, order: str | None) -> tuple[Gpu, ...]:
    """Return the GPUs listed in CUDA_VISIBLE_DEVICES, up to the first -1; HardwareError if unusable."""
    entries = _entries(wanted.value)
    entries = entries[: entries.index(_END)] if _END in entries else entries
    kinds = {_kind(entry) for entry in entries} - {_OTHER}
    if len(kinds) > 1:
        wanted.refuse(f"it mixes {' and '.join(sorted(kinds))}, of which CUDA reads the first kind only")
    if kinds == {_INDEXES}:
        _refuse_unclear_order(wanted, order)
    chosen: list[Gpu] = []
    for entry in entries:
        for gpu in wanted.find(entry):
            if gpu in chosen:
                wanted.refuse(f"{_label(gpu)} is in it twice, and CUDA then shows none")
            chosen.append(gpu)
    return tuple(chosen)


def _refuse_unclear_order(wanted: _List, order: str | None) -> None:
    """Raise HardwareError if CUDA_DEVICE_ORDER leaves open which GPU an index means."""
    if order and order not in _ORDERS:
        raise HardwareError(f'cannot use {ORDER} "{order}": CUDA does not know it', allowed=_ORDERS)
    if order == "FASTEST_FIRST" and len({gpu.name for gpu in wanted.gpus}) > 1:
        raise HardwareError(
            f'cannot use {CUDA} "{wanted.value}": the GPUs differ, and with {ORDER} "FASTEST_FIRST" '
            "only CUDA knows which one an index means",
            hint=f"{ORDER}=PCI_BUS_ID, or UUIDs in {CUDA}",
        )


def _names(gpu: Gpu) -> Iterator[str]:
    """Yield all names of a device: its UUID; for MIG also its parent's UUID and its old name."""
    if gpu.uuid:
        yield gpu.uuid
    if gpu.mig and gpu.mig.parent_uuid:
        yield gpu.mig.parent_uuid
        yield f"MIG-{gpu.mig.parent_uuid}/{gpu.mig.gpu_instance_id}/{gpu.mig.compute_instance_id}"


def _identity(gpu: Gpu, entry: str) -> str | None:
    """Return the UUID by which an entry must be unique (a GPU's name: the parent's); None if unreported."""
    return gpu.mig.parent_uuid if gpu.mig and _kind(entry) == _GPU_UUIDS else gpu.uuid


def _why_unknown(entry: str) -> str:
    """Return why an entry names no device, as the end of a sentence."""
    if _kind(entry) != _OTHER:
        return "names no device that is visible here"
    if entry.lower() == "all":
        return "is not a word that CUDA knows; without the variable it shows all"
    return "is neither an index, nor a UUID (GPU-…), nor a MIG name (MIG-…)"


def _kind(entry: str) -> str:
    """Return the kind of an entry as words: indexes, GPU UUIDs, MIG names or other."""
    if entry.startswith("GPU-"):
        return _GPU_UUIDS
    if entry.startswith("MIG-"):
        return _MIG_NAMES
    return _INDEXES if entry.isascii() and entry.isdigit() else _OTHER


def _label(gpu: Gpu) -> str:
    """Return a device as text for errors: index, UUID, name and MIG profile."""
    kind = f" MIG {gpu.mig.profile or 'device'}" if gpu.mig else ""
    return f"{gpu.index} ({gpu.uuid or 'no UUID'}, {gpu.name or 'unknown GPU'}{kind})"


def _entries(value: str) -> list[str]:
    """Return the comma-separated entries of a list, stripped; [""] for an empty text."""
    return [entry.strip() for entry in value.split(",")]
