"""JSON that has lost its quotes to a shell: read where only one reading is possible.

`{method:mtp,num_speculative_tokens:2}` is read as `{"method": "mtp", "num_speculative_tokens": 2}`. A bare
word that is a JSON number, true, false or null is that; any other is a string. A bare word with a blank, a
quote or a backslash in it has several readings, as have True, False, None and a key that occurs twice: such
text is refused.
"""

import json
import re
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, NoReturn

_SMART_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'"})
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\'\\]*\'')
_BARE_KEY = re.compile(r"[^\s,:{}\[\]\"'\\]+")
_BARE_VALUE = re.compile(r"[^\s,{}\[\]\"'\\]+")
_GUESSED_VALUE = re.compile(r"[^,{}\[\]]*[^\s,{}\[\]]")
_ASSIGNED = re.compile(r"(^|[,;]\s*)([\w.-]+)\s*=")  # key=value, an old form of vLLM for some objects
_BRACKETS = re.compile(r"[{\[]|[}\]]")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_LITERALS = {"true": True, "false": False, "null": None}
_PYTHON = {"True": True, "False": False, "None": None}


class NotJSONError(ValueError):
    """The text is not JSON; the message gives the position."""


def read_json(text: str) -> Any:
    """Return the parsed value of strict JSON; NotJSONError for duplicate keys, NaN, Infinity or no JSON."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise NotJSONError(f"{error.msg.lower()} at character {error.pos + 1}") from None
    except NotJSONError:
        raise
    except ValueError:
        raise NotJSONError("a number in it is too long") from None
    except RecursionError:
        raise NotJSONError("nested too deep") from None


def write_json(value: Any) -> str:
    """Return the value as compact JSON text; non-ASCII characters stay where UTF-8 can encode them."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text


def read_loosely(text: str) -> Any:
    """Return the dict or list that JSON damaged by a shell stands for; NotJSONError if none or several."""
    straight = text.strip().translate(_SMART_QUOTES)
    for candidate in (_unwrapped(straight), straight.replace('\\"', '"')):
        try:
            return _container(read_json(candidate))
        except NotJSONError:
            continue
    return _container(_Reader(straight).read_whole())


def guess(text: str) -> Any:
    """Return the dict or list that invalid JSON text probably means, for a hint; None without a guess."""
    straight = text.strip().translate(_SMART_QUOTES)
    if not straight.startswith(("{", "[")):
        straight = "{" + _ASSIGNED.sub(r"\1\2:", straight) + "}"
    try:
        return _container(_Reader(straight, guessing=True).read_whole())
    except NotJSONError:
        return None


def is_open(text: str) -> bool:
    """Return True if text beginning with { or [ has more opening than closing brackets."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    found = _BRACKETS.findall(_QUOTED.sub("", text))
    return sum(1 if bracket in "{[" else -1 for bracket in found) > 0


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object as a dict; NotJSONError for a duplicate key."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise NotJSONError(f'the key "{key}" is written twice')
        found[key] = value
    return found


def _finite(text: str) -> float:
    """Return the text as a float; NotJSONError if it is infinite, as 1e999 is."""
    number = float(text)
    return number if isfinite(number) else _no_constant(text)


def _no_constant(name: str) -> NoReturn:
    """Raise NotJSONError always; `name` is NaN, Infinity or a number too large."""
    raise NotJSONError(f"{name} is not a JSON number")


def _container(value: Any) -> Any:
    """Return `value` unchanged if it is a dict or list; NotJSONError otherwise."""
    if isinstance(value, dict | list):
        return value
    raise NotJSONError("neither an object nor an array")


def _unwrapped(text: str) -> str:
    """Return the text without one pair of equal quotes around it; unchanged if there is none."""
    inside = len(text) > 1 and text[0] in "'\"" and text[0] == text[-1]
    return text[1:-1] if inside else text


class _Reader:
    """A recursive-descent reader. `guessing` accepts blanks in bare words, and closes what is left open."""

    def __init__(self, text: str, *, guessing: bool = False) -> None:
        self._text = text
        self._at = 0
        self._guessing = guessing

    def read_whole(self) -> Any:
        """Parse the whole text and return its value; NotJSONError if it is invalid or goes on."""
        try:
            value = self._value()
        except RecursionError:
            raise NotJSONError("nested too deep") from None
        if self._peek():
            raise self._stop()
        return value

    def _value(self) -> Any:
        """Parse and return the value at the current position: dict, list, string, number or constant."""
        opening = self._peek()
        if opening == "{":
            return self._items("}", self._pair, _unique)
        if opening == "[":
            return self._items("]", self._value, list)
        return self._word(_GUESSED_VALUE if self._guessing else _BARE_VALUE, key=False)

    def _items(self, closing: str, read: Callable[[], Any], build: Callable[[list[Any]], Any]) -> Any:
        """Parse items up to the bracket `closing`, each by `read`; return them passed to `build`."""
        self._at += 1
        found: list[Any] = []
        ends = (closing, "") if self._guessing else (closing,)
        while self._peek() not in ends:
            found.append(read())
            if self._peek() not in ends:
                self._expect(",")
                if not self._guessing and self._peek() == closing:
                    raise self._stop()
        self._at += 1
        return build(found)

    def _pair(self) -> tuple[str, Any]:
        """Parse `key: value` at the current position; return (key, value)."""
        self._peek()
        key = self._word(_BARE_KEY, key=True)
        self._expect(":")
        return key, self._value()

    def _word(self, bare: re.Pattern[str], *, key: bool) -> Any:
        """Parse a quoted or bare word and return its value; a key always stays a string."""
        if quoted := _QUOTED.match(self._text, self._at):
            self._at = quoted.end()
            return _unquoted(quoted.group())
        found = bare.match(self._text, self._at)
        if not found:
            raise self._stop()
        self._at = found.end()
        return found.group() if key else self._literal(found.group())

    def _literal(self, word: str) -> Any:
        """Return a bare word as number, constant or string; NotJSONError for Python's `True`."""
        if word in _PYTHON and not self._guessing:
            raise self._stop()  # the JSON literal, or its Python spelling
        if _NUMBER.fullmatch(word):
            return read_json(word)
        return (_LITERALS | _PYTHON).get(word, word)

    def _peek(self) -> str:
        """Skip white space; return the next character without consuming it, "" at the end."""
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _expect(self, char: str) -> None:
        """Skip white space and consume the character `char`; NotJSONError for another."""
        if self._peek() != char:
            raise self._stop()
        self._at += 1

    def _stop(self) -> NotJSONError:
        """Return (not raise) a NotJSONError that names the current position."""
        return NotJSONError(f"it stops being JSON at character {self._at + 1}")


def _unquoted(text: str) -> str:
    """Return the content of a quoted string, with escapes resolved if the quotes are double."""
    return str(read_json(text)) if text[0] == '"' else text[1:-1]
