"""Shell quoting and plain dashes of tokens, for messages."""

import re
import shlex
from collections.abc import Iterable

# Hyphens, dashes and a minus sign that are not the plain one.
TYPOGRAPHIC = "‐‑‒–—―−"
DASHES = (*TYPOGRAPHIC, "-")
_SPECIAL = re.compile(r'["\\$`!]')  # within double quotes, to this reader or to a shell


def joined(tokens: Iterable[str]) -> str:
    """Return the tokens as one shell line, in double quotes where single quotes would not do."""
    return " ".join(_quoted(token) for token in tokens)


def _quoted(token: str) -> str:
    """Return one token quoted for a shell."""
    return f'"{token}"' if "'" in token and not _SPECIAL.search(token) else shlex.quote(token)


def plain_dashes(token: str) -> str:
    """Return the option with plain dashes."""
    return "--" + "".join("-" if char in DASHES else char for char in token.lstrip("".join(DASHES)))
