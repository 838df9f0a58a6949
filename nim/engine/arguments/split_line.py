"""Split a line of engine arguments into tokens as a shell does, or read it as a JSON array or YAML list.

The rules are the shell's, without its expansions: white space separates, quotes and backslashes protect, a
backslash at the end of a line joins it with the next. `$`, `;`, `*`, `~`, `{{` and `%` are plain characters,
so inside double quotes a backslash protects only `"` and itself; `#` begins a comment only between blanks.
Unlike in a shell, a JSON object or array at the start of a word (or after its `=`) that is valid as it stands
and ends at white space is one token, with its quotes and blanks. `shlex.join` never writes such a word.
Leftovers of pasting are accepted with a note: quotes around the whole line, typographic quotes, no-break
spaces, a backslash that no longer ends its line.
"""

import json
import re
from typing import Any

from nim.engine.arguments.read_unquoted_json import NotJSONError, read_loosely
from nim.engine.arguments.shell_scanner import BLANKS, Scanner
from nim.errors import SettingsError
from nim.frozen_dataclass import frozen_dataclass
from nim.redact import mask_argv

_NEXT_OPTION = re.compile(r"[ \t\r\n]--[a-z]")
_LIST_ITEM = re.compile(r"(?m)^[ \t]*-[ \t]+")


@frozen_dataclass
class Line:
    """The tokens of a line, and notes on those parts that are not plain shell."""

    tokens: tuple[str, ...]
    notes: tuple[str, ...] = ()


def tokenize(text: str, *, place: str) -> tuple[str, ...]:
    """Split a line of arguments as a shell does; return a tuple of words. SettingsError for an open quote."""
    return read_line(text, place=place).tokens


def read_line(text: str, *, place: str) -> Line:
    """Split shell words, a JSON array or a YAML list; return a Line (tokens, notes) or SettingsError."""
    stripped = text.strip(BLANKS)
    if stripped.startswith("["):
        line = _read_array(stripped, place)
    elif _is_yaml_list(stripped):
        words = _read_words(_LIST_ITEM.sub("", stripped), place)
        line = Line(tokens=words.tokens, notes=("it is read as a YAML list", *words.notes))
    else:
        line = _read_words(text, place)
    for token in line.tokens:
        _check_passable(token, place)
    return line


def _read_words(text: str, place: str) -> Line:
    """Split shell words; return a Line (tokens, notes). Quotes around the whole line are dropped."""
    scanner = Scanner(text=text, place=place)
    tokens = scanner.tokens()
    stripped = text.strip(BLANKS)
    if len(tokens) == 1 and stripped[:1] in ("'", '"') and _is_line(tokens[0]):
        # `docker --env-file` keeps the outer quotes; a quote escaped inside them needs no escape any more.
        inside = stripped[1:-1].replace('\\"', '"')
        line = read_line(inside, place=place)
        return Line(tokens=line.tokens, notes=("the quotes around all of it are left out", *line.notes))
    return Line(tokens=tokens, notes=tuple(scanner.notes))


def _is_line(token: str) -> bool:
    """Return True if a quoted token holds several arguments or a JSON array."""
    if token.startswith("-"):
        return bool(set(token.partition("=")[0]) & set(BLANKS)) or bool(_NEXT_OPTION.search(token))
    return token.startswith("[")


def _is_yaml_list(text: str) -> bool:
    """Return True if the text has several lines and each begins with `- `."""
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) > 1 and all(_LIST_ITEM.match(line) for line in lines)


def _read_array(text: str, place: str) -> Line:
    """Return the items of a JSON array as a Line of tokens; SettingsError if it is no array."""
    try:
        # Numbers keep their spelling, so that 1800000 does not become 1.8e+06.
        written = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
        items = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{error.msg.lower()} at line {error.lineno}, column {error.colno}"
        return _read_loose_array(text, where, place)
    except (ValueError, RecursionError):
        raise _not_an_array("a number in it is too long, or it is nested too deep", place) from None
    return Line(tokens=tuple(_array_token(*pair, place) for pair in zip(items, written, strict=True)))


def _read_loose_array(text: str, why: str, place: str) -> Line:
    """Return the items of an invalid JSON array as a Line with a note; SettingsError if unreadable."""
    try:
        items = read_loosely(text.rstrip("," + BLANKS))
    except NotJSONError:
        raise _not_an_array(why, place) from None
    tokens = tuple(_array_token(item, item if isinstance(item, str) else str(item), place) for item in items)
    shown = json.dumps(mask_argv(tokens), ensure_ascii=False)
    return Line(tokens=tokens, notes=(f"it is read as the JSON array {shown}",))


def _array_token(item: Any, written: Any, place: str) -> str:
    """Return one item of a JSON array as an argument; SettingsError for true, false, null and arrays."""
    if isinstance(item, dict):
        return json.dumps(item, ensure_ascii=False, separators=(",", ":"))
    if isinstance(written, str) and not isinstance(item, bool) and item is not None:
        return written
    raise SettingsError(
        f"cannot use {json.dumps(item)} in {place}: it is not an argument",
        allowed=("strings", "numbers", "JSON objects"),
        hint='"--enable-x" for true, "--no-enable-x" for false',
    )


def _not_an_array(why: str, place: str) -> SettingsError:
    """Return (not raise) the SettingsError for text that is no JSON array."""
    return SettingsError(
        f"cannot read {place} as a JSON array: {why}",
        hint=f"""{place}='["--max-model-len", "8192"]', or the arguments as a shell takes them""",
    )


def _check_passable(token: str, place: str) -> None:
    """Raise SettingsError if the token has a zero byte or a lone surrogate; else return None."""
    if "\0" in token:
        raise SettingsError(f"cannot use {place}: an argument in it holds a zero byte")
    try:
        token.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise SettingsError(f"cannot use {place}: an argument in it holds a lone surrogate") from None
