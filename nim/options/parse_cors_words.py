"""Read origins, methods and header names as the Fetch standard has them, for the gateway's rule of CORS."""

import re
from collections.abc import Sequence

ANY, LOCAL, NONE = "*", "local", "none"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?")
_PATH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#]+)[/?#]")
_USUAL_PORTS = {"http": 80, "https": 443}
# A token (RFC 9110, 5.6.2) without "$", which nginx cannot write and no header has.
_TOKEN = re.compile(r"[A-Za-z0-9!#%&'*+.^_`|~-]+")


class CorsWordError(Exception):
    """A word that cannot be used: why, and what to write instead if that is clear."""

    def __init__(self, word: str, reason: str, instead: str | None = None) -> None:
        super().__init__(reason)
        self.word, self.reason, self.instead = word, reason, instead


def origins_of(words: Sequence[str]) -> tuple[str, ...]:
    """Return the origins as browsers write them, each once, with `*` and `local` as they are; () for none."""
    if NONE in words:
        if len(words) > 1:
            raise CorsWordError(",".join(words), "none stands alone", NONE)
        return ()
    return tuple(dict.fromkeys(word if word in (ANY, LOCAL) else _origin(word) for word in words))


def _origin(word: str) -> str:
    """Return an origin in lower case and without its scheme's usual port; CorsWordError if it is none."""
    _refuse_what_is_no_origin(word)
    parts = _ORIGIN.fullmatch(word.lower())
    if parts is None or int(parts[3] or 0) > 65_535:
        raise CorsWordError(
            word, "expected scheme://host or scheme://host:port, a name of other letters in its form xn--…"
        )
    scheme, host, port = parts[1], parts[2], int(parts[3] or 0)
    if host.startswith("["):
        host = _ipv6(word, host)
    return f"{scheme}://{host}" + (f":{port}" if port and port != _USUAL_PORTS.get(scheme) else "")


def _refuse_what_is_no_origin(word: str) -> None:
    """Raise CorsWordError for the usual mistakes, each with what to write instead."""
    if word.lower() == "null":
        raise CorsWordError(
            word, "every page without an address of its own has it, such as a file", "http://localhost:3000"
        )
    if "@" in word:
        raise CorsWordError(word, "an origin has no user and no password")
    if ANY in word:
        raise CorsWordError(word, "each origin is named in full; only * alone stands for any", ANY)
    if "://" not in word:
        raise CorsWordError(
            word, f"expected an origin with its scheme, {LOCAL}, {ANY} or {NONE}", f"https://{word}"
        )
    if path := _PATH.match(word):
        raise CorsWordError(word, "an origin has no path", path[1])


def _ipv6(word: str, host: str) -> str:
    """Return an IPv6 address in brackets, shortened as browsers do; CorsWordError if it is none."""
    from ipaddress import IPv6Address  # slow to import, and rarely needed

    try:
        return f"[{IPv6Address(host[1:-1]).compressed}]"
    except ValueError:
        raise CorsWordError(word, "expected an IPv6 address between the brackets") from None


def method_names(words: Sequence[str]) -> tuple[str, ...]:
    """Return HTTP methods in upper case, all that the gateway knows for `*`; CorsWordError for any other."""
    if ANY in words:
        return METHODS
    for word in words:
        if word.upper() not in METHODS:
            raise CorsWordError(word, "it is no method that the gateway knows")
    return tuple(dict.fromkeys(word.upper() for word in words))


def header_names(words: Sequence[str]) -> tuple[str, ...]:
    """Return header names, only `*` if it is among them; CorsWordError for one that is no token."""
    for word in words:
        if not _TOKEN.fullmatch(word):
            raise CorsWordError(word, "it is no header's name: letters, digits and hyphens")
    return (ANY,) if ANY in words else tuple(dict.fromkeys(words))
