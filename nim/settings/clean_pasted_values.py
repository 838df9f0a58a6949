"""Clean a variable's value: quotes, `NAME=` and comments left by env files, YAML and shells."""

import re

from nim.settings.types import Setting
from nim.settings.value_types import ARGUMENTS, PATH, TEXT

# Opening quote → closing quote.
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "„": "“", "«": "»", "`": "`"}
_COMMENT = re.compile(r"\s+#.*", re.DOTALL)
# References of shells, Kubernetes and templates. Kubernetes leaves `$(NAME)` where it does not know the name.
_REFERENCE = re.compile(r"\$\{\w[^{}]*\}|\$\(\w+\)|(?<![\w$])\$[A-Z_][A-Z0-9_]+|\{\{-?\s*\.\w[^{}]*\}\}")


def is_blank(text: str) -> bool:
    """Return True if the text is empty, white space, or an empty pair of quotes."""
    return text.strip() in ("", '""', "''")


def reference(text: str) -> str | None:
    """Return the first unexpanded variable reference in `text`, such as `${NAME}`; None without one."""
    found = _REFERENCE.search(text)
    return found.group() if found else None


def cleaned(setting: Setting, name: str, text: str) -> tuple[str, str | None]:
    """Return (value without surrounding quotes, `NAME=` and comment; a warning or None).

    White space around a value is dropped without a warning. NIM_PASSTHROUGH_ARGS and other lines of arguments
    are returned as they are: quotes and comments have a meaning of their own there.
    """
    value = _without_name(name, text.strip())
    if setting.kind is not ARGUMENTS:
        value = _without_quotes(value)
        value = value if setting.kind in (TEXT, PATH) else _COMMENT.sub("", value)
    if value == text.strip() or is_blank(value):
        return text.strip(), _comment_warning(setting, name, text)
    return value, f"{name} '{text.strip()}' is read as '{value}'; write it so"


def _without_name(name: str, text: str) -> str:
    """Return the text without a leading `NAME=` or `export NAME=`; else unchanged."""
    return re.sub(rf"^(export\s+)?{name}\s*=\s*", "", text)


def _without_quotes(text: str) -> str:
    """Return the text without one pair of quotes around it; unchanged if there is none."""
    closing = _QUOTES.get(text[:1])
    inside = text[1:-1]
    wrapped = len(text) > 1 and closing == text[-1] and not {text[0], text[-1]} & set(inside)
    return inside.strip() if wrapped else text


def _comment_warning(setting: Setting, name: str, text: str) -> str | None:
    """Return a warning if a value contains ` #`; None otherwise."""
    found = None if setting.kind is ARGUMENTS else _COMMENT.search(text.strip())
    if found is None:
        return None
    return (
        f"{name}: '{found.group().strip()}' is taken as a part of its value; a comment has a line of its own"
    )
