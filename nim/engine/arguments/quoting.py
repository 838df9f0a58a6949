"""Shell quoting and plain dashes of tokens, for messages."""

import re
import shlex
from collections.abc import Iterable

# Hyphens, dashes and a minus sign that are not the plain one.
TYPOGRAPHIC = "‐‑‒–—―−"
DASHES = (*TYPOGRAPHIC, "-")
_SPECIAL = re.compile(r'["\\$`!]')  # within double quotes, to this reader or to a shell


def joined(tokens: Iterable[str]) -> str:
    """Return the tokens as one line of text, each quoted for a shell where needed."""
    return " ".join(_quoted(token) for token in tokens)


def _quoted(token: str) -> str:
    """Return one token quoted for a shell: in double quotes if it has a single one, else by shlex."""
    return f'"{token}"' if "'" in token and not _SPECIAL.search(token) else shlex.quote(token)


def plain_dashes(token: str) -> str:
    """Return an option with two plain hyphens in front and typographic dashes made plain: `--max-len`."""
    return "--" + "".join("-" if char in DASHES else char for char in token.lstrip("".join(DASHES)))
