"""Copy into the engine's cache what vLLM would find out at a first start."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shutil import copyfile

from nim.data_paths import ENGINE_CACHE

# Below vLLM's cache directory: one JSON file for each model class that it has inspected.
MODEL_INFOS = "modelinfos"


def fill_engine_cache(version: str | None, env: Mapping[str, str], source: Path = ENGINE_CACHE) -> None:
    """Copy the inspected model classes of a vLLM release into VLLM_CACHE_ROOT, once for each release.

    Does nothing without the variable, or without results of this release; a failure costs only time.
    """
    root = env.get("VLLM_CACHE_ROOT")
    inspected = source / (version or "") / MODEL_INFOS
    if not root or not version or not inspected.is_dir():
        return
    directory = Path(root, MODEL_INFOS)
    done = directory / f".{version}"
    if done.exists():
        return
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        for file in inspected.glob("*.json"):
            _copy(file, directory / file.name)
        done.touch()


def _copy(source: Path, target: Path) -> None:
    """Copy a file in one step, since another service may read the target meanwhile."""
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
