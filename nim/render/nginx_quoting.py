"""Write values as words of nginx's configuration; text is quoted."""

import re
from typing import Any

from nim.errors import SettingsError

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f$]")


class Verbatim(str):
    """Text that is already nginx syntax: from the route table, never from a setting."""

    __slots__ = ()


def write(value: Any) -> str:
    """Return a value as one word of nginx.conf, text quoted; TypeError for an unknown type."""
    match value:
        case Verbatim():
            return str(value)
        case bool():
            return "on" if value else "off"
        case int():
            return str(value)
        case str():
            return quote(value)
    raise TypeError(f"nginx has no word for {value!r}")


def quote(text: str) -> str:
    """Return a text as a quoted nginx string; SettingsError if it has a `$` or control character."""
    if _UNWRITABLE.search(text):
        raise SettingsError(
            f'cannot write {text!r} into nginx.conf: nginx has no way to write "$" and control characters',
            hint="NIM_RUN_DIR with a plainer path",
        )
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
