"""Machines and manifests for selection tests; the machines come from the GPU table."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from nim.hardware.hardware_from_gpus_option import hardware_from_gpus
from nim.hardware.types import GB, Hardware, Mig
from nim.manifest import Manifest, find_manifest, read_manifest
from nim.selection.fit_types import Wishes
from nim.value_origins import Layer, Origin, Value

PROFILES = Path(__file__).parents[3] / "profiles"
NOTHING = Hardware(gpus=(), source="none", host_memory_available_bytes=64 * GB)


def machine(gpus: str) -> Hardware:
    return hardware_from_gpus(gpus) if gpus else NOTHING


def shipped(name: str) -> Manifest:
    return find_manifest(name, PROFILES)


def busy(hardware: Hardware, index: int, used_bytes: int) -> Hardware:
    """Return the machine with some of one GPU's memory held by someone."""
    gpus = list(hardware.gpus)
    total = gpus[index].memory_total_bytes
    assert total is not None
    gpus[index] = replace(gpus[index], memory_free_bytes=total - used_bytes)
    return replace(hardware, gpus=tuple(gpus))


def sliced(hardware: Hardware, profile: str, memory: int | None) -> Hardware:
    """Return the machine with each GPU as one MIG device."""
    mig = Mig(profile=profile)
    gpus = [
        replace(gpu, memory_total_bytes=memory, memory_free_bytes=memory, mig=mig) for gpu in hardware.gpus
    ]
    return replace(hardware, gpus=tuple(gpus))


def unmeasured(hardware: Hardware) -> Hardware:
    """Return the machine whose driver does not tell how much memory its GPUs have."""
    gpus = [replace(gpu, memory_total_bytes=None, memory_free_bytes=None) for gpu in hardware.gpus]
    return replace(hardware, gpus=tuple(gpus))


def made(*tags: str, head: str = "", more: str = "") -> Manifest:
    """Return a manifest of a model of 8 billion parameters with a profile for each line of tags."""
    row = '  - id: "{:064x}"\n    tags: {{llm_engine: vllm, {}}}\n{}'
    rows = [row.format(number, line, more) for number, line in enumerate(tags)]
    model = head or (
        "model: {name: acme/rocket, source: hf://acme/rocket, parameters: {total_billions: 8},"
        " max_model_len: 131072, kv_cache: {layers: 32, heads: 8, head_dim: 128}}\n"
    )
    return read_manifest(f"schema_version: 2.0.0\n{model}profiles:\n{''.join(rows)}")


def wishing(
    profile: str | None = None,
    *,
    tags: tuple[str, ...] = (),
    emulation: bool = False,
    engine_build: str | None = None,
    **options: Any,
) -> Wishes:
    """Return what a person asked for; each option as if its variable were set."""
    values = {
        name: Value(value=value, origin=Origin(layer=Layer.ENV, place=f"NIM_{name.upper()}"))
        for name, value in options.items()
    }
    return Wishes(
        profile=profile,
        tags_selector=tags,
        options=values,
        allow_nvfp4_emulation=emulation,
        engine_build=engine_build,
    )
