"""Manifests of schema version 1, a map from id to profile, as in first-generation images."""

import re
from collections.abc import Sequence

from yaml import MappingNode, Node, SequenceNode

from nim.manifest.types import Profile
from nim.manifest.yaml_nodes import Place, items, raw_text_of, text_of


def is_v1(keys: Sequence[str]) -> bool:
    """Return whether every top-level key is a profile id (64 hex digits); False without keys."""
    return bool(keys) and all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)


def read_v1(node: Node, place: Place) -> tuple[Profile, ...]:
    """Return a tuple of all profiles, with tags and files, of a version 1 manifest; ignores unused keys."""
    return tuple(_profile(name, value, place) for name, _, value in items(node, place, "the manifest"))


def _profile(profile_id: str, node: Node, place: Place) -> Profile:
    """Return the `Profile` of one entry of a version 1 manifest."""
    what = f"profile {profile_id[:12]}…"
    found = {name: value for name, _, value in items(node, place, what)}
    tags = {}
    if "tags" in found:
        tags = {
            name: text_of(value, place, f"tag {name}") for name, _, value in items(found["tags"], place, what)
        }
    files = _files(found["workspace"], place) if "workspace" in found else {}
    return Profile(id=profile_id, tags=tags, files=files, line=node.start_mark.line + 1)


def _files(workspace: Node, place: Place) -> dict[str, str]:
    """Return a dict from file name to URI, or to the bare name where the manifest gives no repository."""
    files: dict[str, str] = {}
    for component in _children(_child(workspace, "components", place)):
        source = _child(component, "src", place)
        repository = _child(source, "repo_id", place)
        base = raw_text_of(repository, place, "repo_id") + "?file=" if repository else ""
        for file in _children(_child(source, "files", place)):
            name = raw_text_of(file, place, "a file's name")
            files[name] = base + name
    return files


def _child(node: Node | None, key: str, place: Place) -> Node | None:
    """Return the value node of a key in a mapping node; None if there is none."""
    if not isinstance(node, MappingNode):
        return None
    return next((value for name, _, value in items(node, place, "the workspace") if name == key), None)


def _children(node: Node | None) -> Sequence[Node]:
    """Return the element nodes of a list node; () for other nodes."""
    return node.value if isinstance(node, SequenceNode) else ()
