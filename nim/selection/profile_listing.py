"""The output of `list-model-profiles`: free GPUs, and the profiles that run, nearly run or do not run."""

from collections.abc import Sequence
from dataclasses import asdict
from math import ceil
from typing import Any

from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.types import Gpu, Hardware
from nim.manifest import Manifest
from nim.manifest.types import GB
from nim.selection.explain_rejected_profiles import refuse
from nim.selection.find_named_profile import find_asked, parse_tags
from nim.selection.fit_types import Fit, Wishes
from nim.selection.memory.choose_gpus import free_bytes, is_busy, total_bytes
from nim.selection.select import Facts, compare_all


@frozen_dataclass
class ListedGpu:
    """One GPU of the list. `memory_used_percent` is None if its memory is unknown."""

    index: int
    name: str | None
    pci_id: str | None
    uuid: str | None
    memory_total_bytes: int | None
    memory_free_bytes: int | None
    memory_used_percent: int | None


@frozen_dataclass
class ListedProfile:
    """One profile. `needed` and `found` say why it does not run; sizes are in GB (10⁹ bytes) per GPU.

    `note` says what is different where it runs here. Where memory is low, `max_model_len` is the context to
    ask for and `reduced_memory_gb` what it then takes.
    """

    id: str
    label: str
    lora: bool
    gpu_count: int
    memory_gb: float | None
    download_gb: float | None
    max_model_len: int | None = None
    reduced_memory_gb: float | None = None
    needed: str | None = None
    found: str | None = None
    change: str | None = None
    note: str | None = None


@frozen_dataclass
class Listing:
    """The sections of the list in order of rank; incompatible profiles by distance from fitting."""

    model: str | None
    free_gpus: tuple[ListedGpu, ...]
    busy_gpus: tuple[ListedGpu, ...]
    compatible: tuple[ListedProfile, ...]
    low_memory: tuple[ListedProfile, ...]
    incompatible: tuple[ListedProfile, ...]
    variants: dict[str, str]


def list_profiles(
    manifest: Manifest, hardware: Hardware, wishes: Wishes, facts: Facts | None = None
) -> Listing:
    """Return the Listing of GPUs and of all profiles as compatible, low memory or incompatible."""
    tags = parse_tags(wishes.tags_selector, manifest)
    fits = compare_all(manifest, hardware, wishes, find_asked(manifest, None, tags), tags, facts)
    rest = sorted((fit for fit in fits if not fit.fits and not fit.low_memory), key=lambda fit: fit.distance)
    return Listing(
        model=manifest.name,
        free_gpus=tuple(_gpu(gpu, hardware) for gpu in hardware.gpus if not is_busy(gpu)),
        busy_gpus=tuple(_gpu(gpu, hardware) for gpu in hardware.gpus if is_busy(gpu)),
        compatible=tuple(_profile(fit) for fit in fits if fit.fits),
        low_memory=tuple(_profile(fit) for fit in fits if fit.low_memory),
        incompatible=tuple(_profile(fit) for fit in rest),
        variants={name: variant.summary for name, variant in manifest.variants.items()},
    )


def listing_data(listing: Listing) -> dict[str, Any]:
    """Return the Listing as a dict of JSON values."""
    return asdict(listing)


def listing_text(listing: Listing) -> str:
    """Return the Listing as text of several lines in NVIDIA NIM's format."""
    lines = ["SYSTEM INFO", *_section("- Free GPUs", _gpus(listing.free_gpus))]
    lines += _section("- Non-free GPUs", _gpus(listing.busy_gpus, used=True))
    lines += ["MODEL PROFILES"]
    lines += _section("- Compatible with system and runnable", _with_lora(listing.compatible))
    lines += _section("- Compatible with system but low memory", _with_lora(listing.low_memory))
    lines += _section("- Incompatible with system", _with_lora(listing.incompatible))
    if listing.variants:
        variants = [f"- +{name}: {summary}" for name, summary in listing.variants.items()]
        lines += ["VARIANTS (add to a profile: NIM_MODEL_PROFILE=<label>+<variant>)", *variants]
    return "\n".join(lines) + "\n"


def _gpu(gpu: Gpu, hardware: Hardware) -> ListedGpu:
    """Return the ListedGpu of one GPU."""
    total, free = total_bytes(gpu, hardware), free_bytes(gpu, hardware)
    used = None if not total or free is None else round(100 * (total - free) / total)
    return ListedGpu(
        index=gpu.index,
        name=gpu.name,
        pci_id=gpu.pci_id,
        uuid=gpu.uuid,
        memory_total_bytes=total,
        memory_free_bytes=free,
        memory_used_percent=used,
    )


def _profile(fit: Fit) -> ListedProfile:
    """Return the ListedProfile of one fit, with the reason if it does not run."""
    profile, size = fit.profile, fit.estimate
    refusal = None if fit.fits else refuse(fit)
    reduced = size.need_with(fit.memory_fit.context) if fit.low_memory and fit.memory_fit.context else None
    return ListedProfile(
        id=profile.id,
        label=profile.label,
        lora=profile.lora,
        gpu_count=0 if profile.on_cpu else fit.parallel.ranks,
        memory_gb=_gb(size.need_bytes),
        download_gb=profile.download_gb,
        max_model_len=fit.memory_fit.context if fit.low_memory else None,
        reduced_memory_gb=_gb(reduced),
        needed=refusal.needed if refusal else None,
        found=refusal.found if refusal else None,
        change=refusal.change if refusal else None,
        note=_note(fit),
    )


def _note(fit: Fit) -> str | None:
    """Return as text what differs when the profile runs here: a fallback or mixed GPUs; else None."""
    mixed = f"on {fit.group}" if fit.group.mixed and not fit.profile.on_cpu else None
    return "; ".join(note for note in (fit.fallback, mixed) if note) or None


def _gb(size: int | None) -> float | None:
    """Return bytes as GB (10⁹ bytes), rounded up to a tenth; None if unknown."""
    return None if size is None else ceil(round(size / GB * 10, 6)) / 10


def _section(title: str, lines: Sequence[str]) -> list[str]:
    """Return a section as lines: title and indented lines, or the title with `<None>`."""
    return [f"{title}:", *(f"  {line}" for line in lines)] if lines else [f"{title}: <None>"]


def _gpus(gpus: Sequence[ListedGpu], used: bool = False) -> list[str]:
    """Return one line of text per GPU: `- [2335:10de] (0) NVIDIA H200`, with utilization if `used`."""
    lines = []
    for gpu in gpus:
        percent = "unknown" if gpu.memory_used_percent is None else f"{gpu.memory_used_percent}%"
        tail = f" [current utilization: {percent}]" if used else ""
        lines.append(f"- [{gpu.pci_id or 'unknown'}] ({gpu.index}) {gpu.name or 'unknown'}{tail}")
    return lines


def _with_lora(profiles: Sequence[ListedProfile]) -> list[str]:
    """Return a list of lines, one per profile, those for LoRA last under a title of their own."""
    plain = [_line(profile) for profile in profiles if not profile.lora]
    lora = [_line(profile) for profile in profiles if profile.lora]
    return plain + _section("- With LoRA support", lora) if lora else plain


def _line(profile: ListedProfile) -> str:
    """Return a profile's line of text: id, label with memory, requirement."""
    suffix = f"-{profile.memory_gb}" if profile.memory_gb else ""
    label, _, variants = profile.label.partition("+")
    name = f"{label}{suffix}{'+' if variants else ''}{variants}"
    return f"- {profile.id} ({name}){_requirement(profile)}"


def _requirement(profile: ListedProfile) -> str:
    """Return a profile's ` [requires >=34 GB/gpu]`, or why it does not run, as text."""
    if profile.needed and profile.max_model_len is None:
        return f" [needs {profile.needed}; found {profile.found}]"
    if profile.memory_gb is None:
        return " [memory unknown]"
    unit = {0: "GB of host memory", 1: "GB/gpu"}.get(profile.gpu_count, f"GB/gpu, {profile.gpu_count} GPUs")
    words = f"requires >={profile.memory_gb:g} {unit}"
    if profile.max_model_len and profile.reduced_memory_gb:
        words += f", try --max-model-len={profile.max_model_len}"
        words += f" to reduce to >={profile.reduced_memory_gb:g} GB/gpu"
    return f" [{words}; {profile.note}]" if profile.note else f" [{words}]"
