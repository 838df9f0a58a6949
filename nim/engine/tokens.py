"""A line of engine arguments as the tokens a shell would make of it, or as a JSON array.

The rules are the shell's, without its expansions: white space separates, quotes and backslashes protect, a
backslash at the end of a line joins it with the next. `$`, `;`, `#`, `*`, `~`, `{{` and `%` are plain
characters, so that inside double quotes a backslash protects `"` and itself alone. One thing is kinder than
a shell: a JSON object or array that begins a word (or a word's part after `=`), is valid JSON as it stands
and ends at white space is one token, with its quotes and blanks. What `shlex.join` writes never begins so.
"""

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from nim.errors import SettingsError
from nim.redact import mask_argv

_BLANKS = " \t\r\n"
_JSON = json.JSONDecoder()
_SPECIAL = re.compile(r'["\\$`!]')  # within double quotes, to this reader or to a shell


def tokenize(text: str, *, place: str) -> tuple[str, ...]:
    """The tokens of `text`; `place` names the setting it came from. SettingsError for an open quote."""
    if text.lstrip(_BLANKS).startswith("["):
        tokens = _json_tokens(text, place)
    else:
        tokens = _Scanner(text=text, place=place).tokens()
    for token in tokens:
        _check_passable(token, place)
    return tokens


def joined(tokens: Iterable[str]) -> str:
    """The tokens on one line as a person would type them: in double quotes where single ones do not do."""
    return " ".join(_quoted(token) for token in tokens)


def _quoted(token: str) -> str:
    return f'"{token}"' if "'" in token and not _SPECIAL.search(token) else shlex.quote(token)


def _json_tokens(text: str, place: str) -> tuple[str, ...]:
    try:
        items = json.loads(text)
        # Numbers as they are written, so that 1800000 does not come out as 1.8e+06.
        written = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        where = f"{error.msg.lower()} at line {error.lineno}, column {error.colno}"
        raise _not_an_array(where, place) from None
    except (ValueError, RecursionError):
        raise _not_an_array("a number in it is too long, or it is nested too deep", place) from None
    return tuple(_json_token(*pair, place) for pair in zip(items, written, strict=True))


def _json_token(item: Any, written: Any, place: str) -> str:
    if isinstance(item, dict):
        return json.dumps(item, ensure_ascii=False, separators=(",", ":"))
    if isinstance(written, str):
        return written
    raise SettingsError(
        f"cannot use {json.dumps(item)} in {place}: it is not an argument",
        allowed=("strings", "numbers", "JSON objects"),
        hint='"--enable-x" for true, "--no-enable-x" for false',
    )


def _not_an_array(why: str, place: str) -> SettingsError:
    return SettingsError(
        f"cannot read {place} as a JSON array: {why}",
        hint=f"""{place}='["--max-model-len", "8192"]', or the arguments as a shell takes them""",
    )


@dataclass(slots=True, kw_only=True)
class _Scanner:
    """One pass over the text. `word` is None between words."""

    text: str
    place: str
    at: int = 0
    word: str | None = None
    found: list[str] = field(default_factory=list)

    def tokens(self) -> tuple[str, ...]:
        while self.at < len(self.text):
            self._step(self.text[self.at])
        self._end_word()
        return tuple(self.found)

    def _step(self, char: str) -> None:
        if char in _BLANKS:
            self._end_word()
            self.at += 1
        elif char in "{[" and self._take_json():
            pass
        elif char in "'\"":
            self._take_quoted(char)
        elif char == "\\":
            self._take_escaped()
        else:
            self._add(char)
            self.at += 1

    def _take_json(self) -> bool:
        """A whole JSON value that begins here and ends at white space."""
        if not (self.word is None or self.word.endswith("=")):
            return False
        try:
            _, end = _JSON.raw_decode(self.text, self.at)
        except (ValueError, RecursionError):
            return False
        if self.text[end : end + 1].strip(_BLANKS):
            return False
        self._add(self.text[self.at : end])
        self.at = end
        return True

    def _take_quoted(self, quote: str) -> None:
        opened = self.at
        self._add("")
        self.at += 1
        while self.at < len(self.text) and self.text[self.at] != quote:
            if quote == '"' and self.text[self.at] == "\\":
                self._take_escaped(only='"\\')
            else:
                self._add(self.text[self.at])
                self.at += 1
        if self.at == len(self.text):
            raise self._unclosed(opened)
        self.at += 1

    def _take_escaped(self, only: str | None = None) -> None:
        """A backslash and what it protects; within double quotes it protects just `only` and a line's end."""
        following = self.text[self.at + 1 : self.at + 2]
        if not following:
            raise SettingsError(
                f"cannot split {self.place}: nothing follows the backslash at {self._where(self.at)}",
                hint="a backslash itself is written twice: \\\\",
            )
        if following != "\n":
            self._add(following if only is None or following in only else "\\" + following)
        self.at += 2

    def _unclosed(self, opened: int) -> SettingsError:
        within_word = opened > 0 and self.text[opened - 1] not in _BLANKS + "="
        if within_word:  # an apostrophe rather than the beginning of a quoted value
            mended = f"{self.text[:opened]}\\{self.text[opened:]}"
        else:
            mended = self.text + self.text[opened]
        return SettingsError(
            f"cannot split {self.place}: the {self.text[opened]} at {self._where(opened)} is never closed",
            hint=_as_typed(mended, self.place),
        )

    def _where(self, index: int) -> str:
        line = self.text.count("\n", 0, index) + 1
        column = index - self.text.rfind("\n", 0, index)
        return f"column {column}" if "\n" not in self.text else f"line {line}, column {column}"

    def _add(self, part: str) -> None:
        self.word = (self.word or "") + part

    def _end_word(self) -> None:
        if self.word is not None:
            self.found.append(self.word)
        self.word = None


def _as_typed(mended: str, place: str) -> str | None:
    """The arguments with their quotes put right; None where that does not help."""
    try:
        tokens = _Scanner(text=mended, place=place).tokens()
    except SettingsError:
        return None
    return joined(mask_argv(tokens))


def _check_passable(token: str, place: str) -> None:
    """No program can be given a zero byte, or half a character."""
    if "\0" in token:
        raise SettingsError(f"cannot use {place}: an argument in it holds a zero byte")
    try:
        token.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise SettingsError(f"cannot use {place}: an argument in it holds a lone surrogate") from None
