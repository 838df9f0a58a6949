"""Read, check and publish model manifests: what a model is and the profiles to run it with."""

from nim.manifest.find import find_manifest, manifest_names, manifest_paths
from nim.manifest.load import load_manifest, local_path, read_manifest
from nim.manifest.manifest_to_json import manifest_to_json
from nim.manifest.types import Engine, License, Manifest, Model, Profile, Variant

__all__ = [
    "Engine",
    "License",
    "Manifest",
    "Model",
    "Profile",
    "Variant",
    "find_manifest",
    "load_manifest",
    "local_path",
    "manifest_names",
    "manifest_paths",
    "manifest_to_json",
    "read_manifest",
]
