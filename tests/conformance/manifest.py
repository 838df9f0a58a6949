"""Check a manifest as the NIM operator reads it, in both versions."""

from collections.abc import Iterator
from typing import Any

HEX = frozenset("0123456789abcdef")
# The operator reads the engine from the first of these that is there.
ENGINE_TAGS = ("llm_engine", "model_type", "backend")


def problems(document: Any) -> list[str]:
    """Return what it would stumble over."""
    return list(_problems(document))


def _problems(document: Any) -> Iterator[str]:
    if not isinstance(document, dict):
        yield "the manifest is no mapping"
    elif "schema_version" in document:
        yield from _second(document)
    else:
        yield from _profiles(document.items())


def _second(document: dict[str, Any]) -> Iterator[str]:
    if not str(document["schema_version"]).startswith("2"):
        yield f"schema_version is {document['schema_version']!r}, not 2…"
    if not document.get("profile_selection_criteria"):
        yield "profile_selection_criteria is missing"
    profiles = document.get("profiles")
    if not isinstance(profiles, list):
        yield f"profiles is {type(profiles).__name__}, not a list"
        return
    yield from _profiles((str(one.get("id")), one) for one in profiles)


def _profiles(profiles: Any) -> Iterator[str]:
    seen = 0
    for name, profile in profiles:
        seen += 1
        if len(name) != 64 or set(name) - HEX:
            yield f"the id {name!r} is not 64 hex digits"
        tags = profile.get("tags") if isinstance(profile, dict) else None
        if not isinstance(tags, dict):
            yield f"{name[:12]} has no tags"
        elif not any(tag in tags for tag in ENGINE_TAGS):
            yield f"{name[:12]} names no engine: it has none of {', '.join(ENGINE_TAGS)}"
        elif odd := [tag for tag, value in tags.items() if not isinstance(value, str)]:
            yield f"{name[:12]}: the tag {odd[0]} is no string"
    if not seen:
        yield "there is no profile"
