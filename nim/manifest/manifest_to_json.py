"""Convert a manifest to JSON of schema version 2, for `/v1/manifest` and other programs.

Without a selected profile the result is itself a manifest; reading it back gives an equal value.
"""

from dataclasses import asdict
from typing import Any

from nim.manifest.types import Manifest, Profile


def manifest_to_json(manifest: Manifest, selected: Profile | None = None) -> dict[str, Any]:
    """Return the manifest as a dict of JSON values, with id and label of the `selected` profile if given."""
    head: dict[str, Any] = {
        "schema_version": manifest.schema_version if manifest.schema_version.startswith("2") else "2.0.0",
        "profile_selection_criteria": manifest.criteria,
    }
    if selected is not None:
        head["selected_profile"] = {"id": selected.id, "label": selected.label}
    if manifest.model is not None:
        head["model"] = _known(asdict(manifest.model))
    if manifest.variants:
        head["variants"] = {name: asdict(variant) for name, variant in manifest.variants.items()}
    return head | {"profiles": [_profile(profile) for profile in manifest.profiles]}


def _profile(profile: Profile) -> dict[str, Any]:
    """Return a profile as a dict of JSON values."""
    return {
        "id": profile.id,
        "tags": dict(profile.tags),
        "workspace": {"files": {name: {"uri": uri} for name, uri in profile.files.items()}},
        "engine": asdict(profile.engine),
        "resources": _known(
            {
                "weights_gb": profile.weights_gb,
                "download_gb": profile.download_gb,
                "memory_gb": profile.memory_gb,
            }
        ),
    }


def _known(value: dict[str, Any]) -> dict[str, Any]:
    """Return a dict without None values, nested dicts included, as a manifest file omits them."""
    return {
        key: _known(part) if isinstance(part, dict) else part
        for key, part in value.items()
        if part is not None
    }
