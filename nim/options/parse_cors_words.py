"""Parse origins, methods and header names as the Fetch standard has them, for the gateway's CORS."""

import re
from collections.abc import Sequence

ANY, LOCAL, NONE = "*", "local", "none"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
# Compiled when first used: most starts name no origin.
_ORIGIN = r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?"
_PATH = r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]+)[/?#]"
_USUAL_PORTS = {"http": 80, "https": 443}
# A token of RFC 9110 without "$", which nginx cannot write and no known header has.
_TOKEN = re.compile(r"[A-Za-z0-9!#%&'*+.^_`|~-]+")


class CorsWordError(ValueError):
    """A word that cannot be used, with the reason as text, and what to write `instead` if that is known."""

    def __init__(self, word: str, reason: str, instead: str | None = None) -> None:
        super().__init__(reason)
        self.word, self.instead = word, instead


def origins_of(words: Sequence[str]) -> tuple[str, ...]:
    """Return origins as browsers write them, `*` and `local` unchanged; () for none. Or CorsWordError."""
    if NONE in words:
        if len(words) > 1:
            raise CorsWordError(",".join(words), f"{NONE} stands alone", NONE)
        return ()
    return tuple(dict.fromkeys(word if word in (ANY, LOCAL) else _origin(word) for word in words))


def method_names(words: Sequence[str]) -> tuple[str, ...]:
    """Return HTTP methods in upper case, all that the gateway knows for `*`; CorsWordError for another."""
    for word in words:
        if word != ANY and word.upper() not in METHODS:
            raise CorsWordError(word, f"expected methods among {', '.join(METHODS)}, or {ANY}")
    return METHODS if ANY in words else tuple(dict.fromkeys(word.upper() for word in words))


def header_names(words: Sequence[str]) -> tuple[str, ...]:
    """Return header names, only `*` if it is among them; CorsWordError for what cannot be one."""
    for word in words:
        if not _TOKEN.fullmatch(word):
            raise CorsWordError(word, "expected names of headers, of letters, digits and hyphens")
    return (ANY,) if ANY in words else tuple(dict.fromkeys(words))


def _origin(word: str) -> str:
    """Return an origin in lower case, without its scheme's usual port; CorsWordError if it is none."""
    _refuse_usual_mistakes(word)
    parts = re.fullmatch(_ORIGIN, word.lower())
    if parts is None or int(parts[3] or 0) > 65_535:
        raise CorsWordError(
            word, "expected scheme://host or scheme://host:port, other than ASCII letters as xn--…"
        )
    scheme, host, port = parts[1], parts[2], int(parts[3] or 0)
    if host.startswith("["):
        host = _shortest_ipv6(word, host)
    return f"{scheme}://{host}" + (f":{port}" if port and port != _USUAL_PORTS.get(scheme) else "")


def _refuse_usual_mistakes(word: str) -> None:
    """Raise CorsWordError for what is no origin but often written as one, with what to write instead."""
    if word.lower() == "null":
        raise CorsWordError(
            word, "pages without an address have it, such as files and sandboxed frames of any page", LOCAL
        )
    if "@" in word:
        raise CorsWordError(word, "an origin has no user and no password")
    if path := re.match(_PATH, word):
        raise CorsWordError(word, "an origin has no path", path[1])
    if ANY in word:
        raise CorsWordError(word, f"each origin is named in full; only {ANY} alone stands for any")
    if "://" not in word:
        raise CorsWordError(
            word, f"expected an origin with its scheme, or {LOCAL}, {ANY} or {NONE}", f"https://{word}"
        )


def _shortest_ipv6(word: str, host: str) -> str:
    """Return an IPv6 address in brackets as browsers shorten it; CorsWordError if it is none."""
    from ipaddress import IPv6Address  # slow to import, and rarely needed

    try:
        return f"[{IPv6Address(host[1:-1]).compressed}]"
    except ValueError:
        raise CorsWordError(word, "expected an IPv6 address between the brackets") from None
