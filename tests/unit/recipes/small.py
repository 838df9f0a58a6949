"""Small recipes to import, written as JSON (which is YAML), reduced to what a test needs."""

import json
from typing import Any

from nim.engine import load_options
from nim.hardware import hardware_from_gpus
from nim.manifest import Manifest, read_manifest
from nim.recipes.importer import Choice, import_recipe
from nim.recipes.manifest_draft import Draft, DraftProfile, plain
from nim.recipes.manifest_text import draft_text
from nim.recipes.read_recipe_file import Recipe, read_recipe
from nim.selection.fit_types import Wishes
from nim.selection.select import Selection, select

TABLE = load_options()
ALL = Choice()
EVERYTHING = Choice(drop_unknown=True)


def recipe(
    *, model: dict[str, Any] | None = None, variants: dict[str, Any] | None = None, **more: Any
) -> Recipe:
    """Return a model of 8 billion parameters in BF16, with what the test adds."""
    about = {"model_id": "acme/Rocket-8B", "min_vllm_version": "0.12.0", "parameter_count": "8B"}
    parts = {
        "meta": {"description": "A small rocket", "hardware": {"h100": "verified"}},
        "model": about | {"context_length": 131072} | (model or {}),
        "variants": variants or {"default": weights()},
        "compatible_strategies": ["single_node_tp"],
    }
    return read_recipe(json.dumps(parts | more), name="rocket.yaml")


def weights(precision: str = "bf16", gb: float = 20, **more: Any) -> dict[str, Any]:
    return {"precision": precision, "vram_minimum_gb": gb, "description": f"{precision} weights", **more}


def drafted(wanted: Recipe, choice: Choice = ALL) -> Draft:
    return import_recipe(wanted, TABLE, name="rocket.yaml", choice=choice)


def made(wanted: Recipe, choice: Choice = ALL) -> Manifest:
    """Return the manifest, once there and back as text."""
    return read_manifest(draft_text(drafted(wanted, choice)), name="rocket.yaml")


def chosen(manifest: Manifest, gpus: str) -> Selection:
    return select(manifest, hardware_from_gpus(gpus), Wishes())


def labels(manifest: Manifest) -> list[str]:
    return [profile.label for profile in manifest.profiles]


def the(manifest: Manifest, label: str) -> Any:
    """Return the profile of this label."""
    (found,) = [profile for profile in manifest.profiles if profile.label == label]
    return found


def notes(draft: Draft) -> dict[str, str]:
    return {note.key: note.text for note in draft.notes}


def options(profile: DraftProfile) -> tuple[dict[str, object], dict[str, object]]:
    return plain(profile.options)
