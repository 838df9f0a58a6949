"""`nim fetch --manifest-file`: write a manifest for a model from its own files, for NIM_MANIFEST_PATH."""

import json
import os
import tempfile
from pathlib import Path

from nim.errors import PreflightError, SettingsError
from nim.manifest import manifest_to_json
from nim.models.checkpoint.read_local_model import read_local_model
from nim.models.checkpoint.weight_bytes_by_type import is_quantized
from nim.models.config.read_config_files import read_config
from nim.models.facts import facts_of
from nim.models.generic_manifest import manifest_for_model


def check_place(file: Path) -> None:
    """Raise SettingsError or PreflightError for a manifest path that cannot be written; keeps nothing."""
    parent = file.absolute().parent
    cannot = f"cannot write the manifest '{file}' (--manifest-file)"
    if file.is_dir():
        hint = f"--manifest-file {file / 'model_manifest.json'}"
        raise SettingsError(f"{cannot}: it is a directory", hint=hint)
    if not parent.is_dir():
        message = f"{cannot}: there is no directory '{parent}'"
        raise SettingsError(message, hint=f"mkdir -p '{parent}', if that is what you mean")
    try:
        with tempfile.TemporaryFile(dir=parent, prefix=".nim-"):
            pass
    except OSError as error:
        user = f"{os.geteuid()}:{os.getegid()}"
        message = f"{cannot}: user {user} cannot make a file in '{parent}': {error.strerror}"
        raise PreflightError(message, hint="--manifest-file … in another directory") from None


def write_manifest(file: Path, directory: Path, source: str, name: str) -> None:
    """Read the model in `directory`, write a manifest with generic profiles for it to `file`."""
    model = read_local_model(directory, source)
    loaded = model.weights.loaded_bytes(quantized=is_quantized(model.config)) if model.weights else None
    facts = facts_of(read_config(directory))
    manifest = manifest_for_model(source, facts, name=name, weights_bytes=loaded)
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.write_text(json.dumps(manifest_to_json(manifest), indent=1) + "\n", encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        message = f"cannot write the manifest '{file}' (--manifest-file): {error.strerror}"
        raise PreflightError(message, hint=f"df -h '{file.absolute().parent}'") from None
