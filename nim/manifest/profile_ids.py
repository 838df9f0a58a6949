"""Profile ids: the hash of what a profile does, so that equal ids mean equal service."""

import hashlib
import json
import re
from pathlib import Path

from nim.manifest.load import manifest_text, read_manifest
from nim.manifest.types import Manifest, Profile


def content_id(model_name: str | None, profile: Profile) -> str:
    """Return the SHA-256 of model name, tags, files and engine options as 64 hex digits.

    Sizes and descriptions are left out, so that correcting them does not change a pinned id.
    """
    content = {
        "model": model_name,
        "tags": dict(profile.tags),
        # A local directory's path says nothing about its content.
        "files": {name: uri for name, uri in profile.files.items() if not uri.startswith("/")},
        "args": profile.engine.args,
        "env": dict(profile.engine.env),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def wrong_ids(manifest: Manifest) -> tuple[tuple[Profile, str], ...]:
    """Return the profiles whose id does not match their content, each with the correct id."""
    right = ((profile, content_id(manifest.name, profile)) for profile in manifest.profiles)
    return tuple((profile, expected) for profile, expected in right if profile.id != expected)


def with_ids(text: str, manifest: Manifest) -> str:
    """Return the manifest's text with all ids corrected and everything else unchanged, comments included.

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
    """Correct the ids in a file and return how many were wrong. A new profile has an id of 64 zeros."""
    text = manifest_text(path)
    manifest = read_manifest(text, name=str(path), path=path)
    wrong = len(wrong_ids(manifest))
    if wrong:
        path.write_text(with_ids(text, manifest), encoding="utf-8")
    return wrong
