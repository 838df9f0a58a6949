"""Read a manifest file strictly into a `Manifest`."""

import os
from collections.abc import Mapping
from pathlib import Path

from yaml import Node

from nim.errors import ManifestError
from nim.manifest.read_schema_v1 import is_v1, read_v1
from nim.manifest.types import Document, Engine, Entry, Manifest, Model, Profile
from nim.manifest.yaml_nodes import Place, compose, elements, items
from nim.manifest.yaml_to_dataclass import read
from nim.read_regular_file import read_text

MAX_BYTES = 16 * 1024**2
PLACEHOLDER_ID = "0" * 64


def load_manifest(path: Path) -> Manifest:
    """Return the `Manifest` in a YAML file of schema version 2 or 1; ManifestError if unreadable or wrong."""
    return read_manifest(manifest_text(path), name=str(path), path=path)


def read_manifest(text: str, *, name: str = "<manifest>", path: Path | None = None) -> Manifest:
    """Return the `Manifest` in `text`; ManifestError names it `name`. Sources are relative to `path`."""
    place = Place(name)
    node = compose(text, place)
    keys = [key for key, _, _ in items(node, place, "the manifest")]
    if "schema_version" not in keys and is_v1(keys):
        return Manifest(profiles=read_v1(node, place), schema_version="1", path=_absolute(path))
    document: Document = read(Document, node, place, "the manifest")
    profiles = _profiles(document, node, place)
    return Manifest(
        profiles=profiles,
        model=document.model,
        variants=document.variants,
        schema_version=document.schema_version,
        criteria=document.profile_selection_criteria,
        path=_absolute(path),
    )


def local_path(manifest: Manifest, source: str) -> str | None:
    """Return the absolute directory that a source names, unchecked; None if it is a URI to be fetched."""
    if "://" in source:
        return source.removeprefix("file://") if source.startswith("file://") else None
    base = Path(manifest.path).parent if manifest.path else Path.cwd()
    return os.path.normpath(base / source)


def profile_from(entry: Entry, document: Document, line: int | None = None) -> Profile:
    """Return the `Profile` of an entry, joined with the document's engine, checkpoint and model."""
    checkpoint = document.checkpoints.get(entry.checkpoint or entry.tags.get("precision", ""))
    files = {name: file.uri for name, file in entry.workspace.files.items()} if entry.workspace else {}
    source = (
        files.get("checkpoint")
        or (checkpoint.source if checkpoint else None)
        or _model_source(document.model)
    )
    engine = document.engine
    engine = engine.under(checkpoint.engine) if checkpoint else engine
    return Profile(
        id=entry.id,
        tags=entry.tags,
        engine=engine.under(lora_engine(entry.tags)).under(entry.engine),
        source=source,
        files=files or ({"checkpoint": source} if source else {}),
        download_gb=entry.resources.download_gb or (checkpoint.download_gb if checkpoint else None),
        weights_gb=entry.resources.weights_gb or (checkpoint.weights_gb if checkpoint else None),
        memory_gb=entry.resources.memory_gb,
        line=line,
    )


def lora_engine(tags: Mapping[str, str]) -> Engine:
    """Return the `Engine` options that the LoRA tags stand for; empty ones without LoRA."""
    if tags.get("feat_lora", "").lower() != "true":
        return Engine()
    rank = tags.get("feat_lora_max_rank", "")
    return Engine(args={"enable-lora": True, **({"max-lora-rank": int(rank)} if rank.isdecimal() else {})})


def _profiles(document: Document, node: Node, place: Place) -> tuple[Profile, ...]:
    """Return the document's profiles as a tuple; ManifestError if there are none or ids are duplicate."""
    entry_nodes = _entry_nodes(node, place)
    if not entry_nodes:
        place.refuse(node, "use a manifest without profiles", hint="add one below `profiles:`")
    seen: dict[str, int] = {}
    profiles = []
    for entry, entry_node in zip(document.profiles, entry_nodes, strict=True):
        _check_entry(entry, document, entry_node, place)
        line = entry_node.start_mark.line + 1
        if entry.id in seen:
            place.refuse(entry_node, f"use the id {entry.id} twice: it is already in line {seen[entry.id]}")
        if entry.id != PLACEHOLDER_ID:
            seen[entry.id] = line
        profiles.append(profile_from(entry, document, line))
    return tuple(profiles)


def _check_entry(entry: Entry, document: Document, node: Node, place: Place) -> None:
    """Raise ManifestError for an invalid tp, pp or LoRA tag, any `variant` tag or an unknown checkpoint."""
    for tag in ("tp", "pp"):
        if not entry.tags.get(tag, "1").isdecimal() or int(entry.tags.get(tag, "1")) < 1:
            place.refuse(
                node, f"use '{entry.tags[tag]}' as the tag {tag}: it is not a whole number above zero"
            )
    if entry.tags.get("feat_lora", "false").lower() not in ("true", "false"):
        place.refuse(node, f"use '{entry.tags['feat_lora']}' as the tag feat_lora", allowed=("true", "false"))
    if "variant" in entry.tags:
        place.refuse(node, "use the tag variant in a file", hint="write it below `variants:`")
    if entry.checkpoint and entry.checkpoint not in document.checkpoints:
        place.refuse(node, f"use the checkpoint '{entry.checkpoint}'", allowed=tuple(document.checkpoints))


def _entry_nodes(node: Node, place: Place) -> list[Node]:
    """Return a list of the YAML nodes of the entries below `profiles:`; [] if the key is missing."""
    found = [value for name, _, value in items(node, place, "the manifest") if name == "profiles"]
    return elements(found[0], place, "profiles") if found else []


def _model_source(model: Model | None) -> str | None:
    """Return the model's source; None without a model."""
    return model.source if model else None


def _absolute(path: Path | None) -> str | None:
    """Return a path as absolute text; None for None."""
    return str(path.absolute()) if path else None


def manifest_text(path: Path) -> str:
    """Return the text of a manifest file; ManifestError if it cannot be read."""
    try:
        return read_text(path, MAX_BYTES)
    except OSError as error:
        raise ManifestError(
            f"cannot read the manifest '{path}': {error.strerror}", hint="nim profiles"
        ) from None
    except UnicodeDecodeError:
        raise ManifestError(f"cannot read the manifest '{path}': it is not UTF-8 text") from None
