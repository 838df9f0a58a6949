"""Shell quoting of tokens for messages."""

import re
import shlex
from collections.abc import Iterable

_SPECIAL = re.compile(r'["\\$`!]')  # inside double quotes, for this reader or a shell


def joined(tokens: Iterable[str]) -> str:
    """Return the tokens as one shell line, in double quotes where single quotes would not do."""
    return " ".join(_quoted(token) for token in tokens)


def _quoted(token: str) -> str:
    return f'"{token}"' if "'" in token and not _SPECIAL.search(token) else shlex.quote(token)
