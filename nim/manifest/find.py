"""Find a model's manifest by name: the file is named after the last part of the model's name."""

from pathlib import Path

from nim.errors import ManifestError, nearest
from nim.manifest.load import load_manifest
from nim.manifest.types import Manifest

SUFFIX = ".yaml"


def find_manifest(name: str, directory: Path) -> Manifest:
    """Return the `Manifest` of model `name` (maker optional) from its file; ManifestError if there is none.

    Only that one file is read. ManifestError if there is none, with the most similar names.
    """
    maker, _, short = name.strip().lower().rpartition("/")
    path = directory / f"{short}{SUFFIX}"
    if short and not short.startswith(".") and path.is_file():
        manifest = load_manifest(path)
        if not maker or maker in _makers(manifest):
            return manifest
    raise _unknown(name, directory)


def manifest_paths(directory: Path) -> tuple[Path, ...]:
    """Return the paths of all *.yaml files in a directory, sorted; () if there are none."""
    return tuple(sorted(directory.glob(f"*{SUFFIX}")))


def manifest_names(directory: Path) -> tuple[str, ...]:
    """Read all manifests in a directory and return their models' names; ManifestError if one is broken."""
    manifests = [load_manifest(path) for path in manifest_paths(directory)]
    return tuple(manifest.name for manifest in manifests if manifest.name)


def _makers(manifest: Manifest) -> set[str]:
    """Return the parts before the slash of the model's name and of its source; empty without a model."""
    if manifest.model is None:
        return set()
    names = (manifest.model.name, manifest.model.source.partition("://")[2])
    return {name.lower().rpartition("/")[0] for name in names if "/" in name}


def _unknown(name: str, directory: Path) -> ManifestError:
    """Return the ManifestError for an unknown model, not raised; reads all manifests to suggest names."""
    known = manifest_names(directory) if directory.is_dir() else ()
    likely = nearest(name.lower(), known) or nearest(
        name.lower().rpartition("/")[2], [_short(one) for one in known]
    )
    full = tuple(one for one in known if one in likely or _short(one) in likely)
    hint = (
        f"NIM_MODEL_NAME={full[0]}"
        if full
        else "NIM_MODEL_PATH=hf://org/name serves a model without a manifest"
    )
    where = f"'{directory}'"
    return ManifestError(
        f"cannot find a manifest for the model '{name}' in {where}", allowed=full or known, hint=hint
    )


def _short(name: str) -> str:
    """Return the last part of a model's name, in lower case."""
    return name.lower().rpartition("/")[2]
