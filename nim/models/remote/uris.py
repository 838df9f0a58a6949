"""URIs of models that the service itself fetches: object stores, web servers, ModelScope, NGC."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

OBJECT_STORES = ("s3", "gs", "az")
WEB = ("https", "http")
SCHEMES = (*OBJECT_STORES, *WEB, "modelscope", "ngc")
EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "s3": "s3://BUCKET/DIRECTORY",
        "gs": "gs://BUCKET/DIRECTORY",
        "az": "az://CONTAINER/DIRECTORY",
        "https": "https://HOST/DIRECTORY",
        "http": "http://HOST/DIRECTORY",
        "modelscope": "modelscope://ORG/NAME[:REVISION]",
        "ngc": "ngc://ORG[/TEAM]/MODEL:VERSION",
    }
)
# The schemes of other tools for the same stores.
_SAME = {"gcs": "gs", "azure": "az", "abfs": "az", "s3a": "s3", "s3n": "s3", "ms": "modelscope"}
_WORD = r"[\w][\w.-]*"
_OBJECT = re.compile(rf"{_WORD}(/[^/?#]+)*", re.ASCII)
_MODELSCOPE = re.compile(rf"{_WORD}/{_WORD}(:[\w./-]+)?", re.ASCII)
_NGC = re.compile(rf"{_WORD}/({_WORD}/)?{_WORD}:[\w.+-]+", re.ASCII)


def example_of(uri: str) -> str:
    """Return the form that a URI of this scheme has."""
    return EXAMPLES.get(uri.partition("://")[0], "hf://ORG/NAME[:REVISION]")


def is_remote(text: str) -> bool:
    """Return whether the text is a URI of a scheme that the service fetches itself."""
    return text.partition("://")[0] in SCHEMES and "://" in text


def same_scheme(text: str) -> str | None:
    """Return the URI with this project's scheme for one that other tools use; None for other text."""
    scheme, separator, rest = text.partition("://")
    return f"{_SAME[scheme]}://{rest}" if separator and scheme in _SAME else None


def normal_uri(text: str) -> str | None:
    """Return a remote URI without trailing slashes; None if it is not of its scheme's form."""
    scheme, _, rest = text.partition("://")
    rest = rest.rstrip("/")
    known: dict[str, Callable[[str], bool]] = {
        **dict.fromkeys(OBJECT_STORES, _is_object),
        **dict.fromkeys(WEB, _is_web_directory),
        "modelscope": lambda name: bool(_MODELSCOPE.fullmatch(name)),
        "ngc": lambda name: bool(_NGC.fullmatch(name)),
    }
    return f"{scheme}://{rest}" if known[scheme](rest) and ".." not in rest.split("/") else None


def name_of(uri: str) -> str:
    """Return the name under which a remote model is served: its URI without scheme and version.

    Of a web address it is the last directory, since the host is no part of the model.
    """
    scheme, _, rest = uri.partition("://")
    if scheme in WEB:
        return urlsplit(uri).path.rpartition("/")[2]
    return rest if scheme in OBJECT_STORES else rest.partition(":")[0]


def _is_object(rest: str) -> bool:
    """Return whether the text is BUCKET or BUCKET/DIRECTORY."""
    return bool(_OBJECT.fullmatch(rest))


def _is_web_directory(rest: str) -> bool:
    """Return whether the text is HOST/DIRECTORY, without user, password, query and fragment."""
    try:
        parts = urlsplit(f"https://{rest}")
        _ = parts.port  # raises for one that is no number
    except ValueError:
        return False
    return bool(parts.hostname and parts.path) and not (parts.query or parts.fragment or parts.username)
