"""Find HTML-style media tags in a text: `<img src="…">`, `<audio src="…">` and `<video src="…">`."""

import html
import re
from collections.abc import Iterator
from typing import Any

# Tag → kind of a content part, which is also the member that has the URL.
PARTS = {"img": "image_url", "audio": "audio_url", "video": "video_url"}
_SCHEMES = ("http://", "https://", "data:")
_VALUE = r"""(?:"[^"<]*+"|'[^'<]*+')"""
# No repetition gives back what it took or goes beyond the next `<`: the time is in proportion to the length.
_TAG = re.compile(rf"<((?i:img|audio|video))((?:\s++[\w:-]++\s*+=\s*+{_VALUE})++)\s*+/?>")
_ATTRIBUTE = re.compile(rf"\s++([\w:-]++)\s*+=\s*+({_VALUE})")


def parts_of(text: str) -> list[dict[str, Any]] | None:
    """Return the content parts of a text with media tags, in order; None if it has none.

    A tag counts only with the address of something: others stay text, as what a user quotes may be.
    """
    parts: list[dict[str, Any]] = []
    end = 0
    for start, stop, kind, url in _tags(text):
        if text[end:start]:
            parts.append({"type": "text", "text": text[end:start]})
        parts.append({"type": kind, kind: {"url": url}})
        end = stop
    if not parts:
        return None
    if text[end:]:
        parts.append({"type": "text", "text": text[end:]})
    return parts


def _tags(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Yield (start, end, kind of part, URL) of each tag that has the address of something."""
    for tag in _TAG.finditer(text):
        values = (a[2][1:-1] for a in _ATTRIBUTE.finditer(tag[2]) if a[1].lower() == "src")
        url = next(values, "").strip()
        url = html.unescape(url) if "&" in url else url
        if url[:8].lower().startswith(_SCHEMES):
            yield tag.start(), tag.end(), PARTS[tag[1].lower()], url
