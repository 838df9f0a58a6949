"""Asset references of a request: which ids it may use, and which file or data each stands for."""

import base64
from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import UUID

from nim.vllm_plugins.catalog_requests.launcher_settings import Rules
from nim.vllm_plugins.catalog_requests.refused_request import Refused

REFERENCES, PLATFORM_DIRECTORY, PLATFORM_IDS = (
    b"nvcf-input-asset-references",
    b"nvcf-asset-dir",
    b"nvcf-function-asset-ids",
)
MOST_HEADER = 370
_MARK = ";asset_id,"

Find = Callable[[str], str]


def is_reference(url: str) -> bool:
    """Return whether a URL is of the form `data:TYPE;asset_id,ID`."""
    head, mark, _ = url.partition(_MARK)
    return bool(mark) and head[:5].lower() == "data:" and "," not in head


def finder(headers: Iterable[tuple[bytes, bytes]], rules: Rules) -> Find:
    """Return a function from such a URL to that of the file; Refused for headers that name no assets.

    An id becomes a path only as the number that it is. Files are looked at only for ids in the headers.
    """
    named = _named(headers, rules)
    for asset, directory in named.items():
        if not _file(directory, asset).is_file():
            raise Refused(f"there is no asset {asset}", status=404, problem=True)

    def find(url: str) -> str:
        """Return the URL of the file of a referenced asset; Refused for an id that no header names."""
        asset = _uuid(url.partition(_MARK)[2])
        if asset not in named:
            header = REFERENCES.decode().upper()
            raise Refused(
                f"the asset {asset} is not named by the header {header}", status=400, field="messages"
            )
        return _url(_file(named[asset], asset), url, rules)

    return find


def _named(headers: Iterable[tuple[bytes, bytes]], rules: Rules) -> dict[str, str | None]:
    """Return {id: directory} of the assets that the headers name; Refused for a piece that is no id."""
    values: dict[bytes, list[str]] = {REFERENCES: [], PLATFORM_DIRECTORY: [], PLATFORM_IDS: []}
    for name, value in headers:
        if name.lower() in values:
            values[name.lower()].append(value.decode("latin-1"))
    text = ",".join(values[REFERENCES])
    if rules.strict and len(text) > MOST_HEADER:
        raise Refused(f"the header of asset references has {len(text)} characters, more than {MOST_HEADER}")
    named: dict[str, str | None] = dict.fromkeys(_ids(text), rules.assets)
    if rules.trusts_platform and values[PLATFORM_DIRECTORY]:
        platform: str | None = values[PLATFORM_DIRECTORY][-1]
        named |= dict.fromkeys(_ids(",".join(values[PLATFORM_IDS])), platform)
    return named


def _ids(text: str) -> list[str]:
    """Return the ids in a list with commas, in lower case; empty pieces are left out. Refused."""
    return [_uuid(piece) for piece in text.split(",") if piece.strip()]


def _uuid(text: str) -> str:
    """Return a UUID in the one form that files are named by; Refused if the text is none."""
    try:
        asset = str(UUID(text.strip()))
    except ValueError:
        raise Refused(f"{text.strip()[:60]!r} is no id of an asset", status=400) from None
    if asset != text.strip().lower():  # UUID() also takes braces, urn: and the like
        raise Refused(f"{text.strip()[:60]!r} is no id of an asset", status=400)
    return asset


def _file(directory: str | None, asset: str) -> Path:
    """Return the path of an asset; of none if there is no directory."""
    return Path(directory or "/nonexistent") / asset


def _url(file: Path, url: str, rules: Rules) -> str:
    """Return the file's URL where vLLM may open it, else its bytes as a data URL of the named type."""
    if rules.allowed and file.resolve().is_relative_to(Path(rules.allowed).resolve()):
        return file.resolve().as_uri()
    kind = url[5:].partition(";")[0]
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
