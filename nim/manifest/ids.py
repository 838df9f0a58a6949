"""A profile's id is the hash of what it does: equal ids, equal service."""

import hashlib
import json
import re
from pathlib import Path

from nim.manifest.load import read_manifest
from nim.manifest.types import Manifest, Profile


def content_id(model_name: str | None, profile: Profile) -> str:
    """64 hex digits over the model, the tags, the files and the engine's options.

    What is only told to people (sizes, descriptions) does not count: correcting it keeps a pinned id.
    """
    content = {
        "model": model_name,
        "tags": dict(profile.tags),
        # Where a directory lies on one machine says nothing about what is in it.
        "files": {name: uri for name, uri in profile.files.items() if not uri.startswith("/")},
        "args": profile.engine.args,
        "env": dict(profile.engine.env),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def wrong_ids(manifest: Manifest) -> tuple[tuple[Profile, str], ...]:
    """Profiles whose id is not that of their content, each with the right one."""
    right = ((profile, content_id(manifest.name, profile)) for profile in manifest.profiles)
    return tuple((profile, expected) for profile, expected in right if profile.id != expected)


def with_ids(text: str, manifest: Manifest) -> str:
    """The manifest's text with every id set right; all else stays as it is, comments too.

    `manifest` is `text` read with `read_manifest(…)`.
    """
    lines = text.splitlines(keepends=True)
    for profile, expected in wrong_ids(manifest):
        assert profile.line is not None
        for index in range(profile.line - 1, len(lines)):
            changed = re.sub(r"(\bid:\s*[\"']?)[0-9a-f]{64}", rf"\g<1>{expected}", lines[index], count=1)
            if changed != lines[index]:
                lines[index] = changed
                break
    return "".join(lines)


def write_ids(path: Path) -> int:
    """Set the ids in a file right; how many were wrong. A new profile begins with an id of 64 zeros."""
    text = path.read_text(encoding="utf-8")
    manifest = read_manifest(text, name=str(path), path=path)
    wrong = len(wrong_ids(manifest))
    if wrong:
        path.write_text(with_ids(text, manifest), encoding="utf-8")
    return wrong
