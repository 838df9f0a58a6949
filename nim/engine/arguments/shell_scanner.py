"""One pass over a line of arguments by the shell's rules; `split_line` has the exceptions."""

import json
import re
from dataclasses import dataclass, field

from nim.engine.arguments.quoting import joined
from nim.errors import SettingsError
from nim.redact import mask_argv

BLANKS = " \t\r\n"
# Blanks from word processors and web pages: no-break, figure, narrow, ideographic and the like.
_ODD_BLANKS = frozenset("\u00a0\u1680\u202f\u205f\u3000\u0085\u2028\u2029") | {
    chr(n) for n in range(0x2000, 0x200B)
}
_INVISIBLE = frozenset("\u200b\u200c\u200d\u2060\ufeff")
# Opening quote → what closes it.
_TYPOGRAPHIC = {"“": "”", "„": "“”", "”": "”", "‘": "’", "‚": "‘’", "’": "’", "«": "»"}
_JSON = json.JSONDecoder()
_LINE_END = re.compile(r"[ \t\r]*\n")
_FOLDED = re.compile(r"[ \t]+(?=-)")
_COMMENT = re.compile(r"#[ \t][^\n]*")


@dataclass(slots=True, kw_only=True)
class Scanner:
    """A position in the text and the words read so far. `word` is None between words.

    `place` names the setting the text came from, for errors.
    """

    text: str
    place: str
    at: int = 0
    word: str | None = None
    found: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def tokens(self) -> tuple[str, ...]:
        """Split the whole text and return its words as a tuple; SettingsError for an open quote."""
        while self.at < len(self.text):
            self._step(self.text[self.at])
        self._end_word()
        return tuple(self.found)

    def _step(self, char: str) -> None:
        """Consume the character `char` and all that belongs to it: quoted text, comment, escape, JSON."""
        if char in BLANKS or char in _ODD_BLANKS:
            self._take_blank(char)
        elif char in "{[" and self._take_json():
            pass
        elif char in "'\"":
            self._take_quoted(char)
        elif char in _TYPOGRAPHIC and self._take_typographic(_TYPOGRAPHIC[char]):
            pass
        elif char == "\\":
            self._take_backslash()
        elif char == "#" and self._take_comment():
            pass
        elif char in _INVISIBLE:
            self.at += 1
            self._note(f"the invisible character U+{ord(char):04X} is left out")
        else:
            self._add(char)
            self.at += 1

    def _take_blank(self, char: str) -> None:
        """End the current word and skip one blank; add a note if the blank is not ASCII."""
        self._end_word()
        self.at += 1
        if char in _ODD_BLANKS:
            self._note(f"the character U+{ord(char):04X} is read as a blank")

    def _take_comment(self) -> bool:
        """Skip `# …` up to the line's end and return True; False if no comment begins here."""
        comment = _COMMENT.match(self.text, self.at)
        if self.word is not None or comment is None:
            return False
        self.at = comment.end()
        self._note(f"'{comment.group().rstrip()}' is left out as a comment")
        return True

    def _take_json(self) -> bool:
        """Add a whole JSON value to the word and return True; False if none begins here."""
        if not self._at_value():
            return False
        try:
            _, end = _JSON.raw_decode(self.text, self.at)
        except (ValueError, RecursionError):
            return False
        if self.text[end : end + 1].strip(BLANKS):
            return False
        self._add(self.text[self.at : end])
        self.at = end
        return True

    def _at_value(self) -> bool:
        """Return True at the start of a word or directly after `=`."""
        return self.word is None or self.word.endswith("=")

    def _take_quoted(self, quote: str) -> None:
        """Add the text in plain quotes to the word; SettingsError if they are never closed."""
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

    def _take_typographic(self, closing: str) -> bool:
        """Add the text in typographic quotes and return True; False if no value begins here."""
        ends = [end for char in closing if (end := self.text.find(char, self.at + 1)) > 0]
        if not ends or not self._at_value():
            return False
        inside = self.text[self.at + 1 : min(ends)]
        self._note(f"the typographic quotes around '{inside}' are read as plain ones")
        self._add(inside)
        self.at = min(ends) + 1
        return True

    def _take_backslash(self) -> None:
        """Add the character a backslash protects; drop it at a line's end and between blanks."""
        if line_end := _LINE_END.match(self.text, self.at + 1):
            self.at = line_end.end()
            return
        if self.word is None:
            if not self.text[self.at + 1 :].strip(BLANKS):
                self.at = len(self.text)
                return
            if folded := _FOLDED.match(self.text, self.at + 1):
                self.at = folded.end()
                self._note("a backslash between blanks is left out")
                return
        self._take_escaped()

    def _take_escaped(self, only: str | None = None) -> None:
        """Add the character after a backslash, with it unless in `only`; SettingsError at the end."""
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
        """Return (not raise) the SettingsError for the quote opened at index `opened`."""
        within_word = opened > 0 and self.text[opened - 1] not in BLANKS + "="
        if within_word:  # an apostrophe, not the start of a quoted value
            mended = f"{self.text[:opened]}\\{self.text[opened:]}"
        else:
            mended = self.text + self.text[opened]
        return SettingsError(
            f"cannot split {self.place}: the {self.text[opened]} at {self._where(opened)} is never closed",
            hint=_as_typed(mended, self.place),
        )

    def _where(self, index: int) -> str:
        """Return a text index as "column 3", or "line 2, column 3" in several lines."""
        line = self.text.count("\n", 0, index) + 1
        column = index - self.text.rfind("\n", 0, index)
        return f"column {column}" if "\n" not in self.text else f"line {line}, column {column}"

    def _add(self, part: str) -> None:
        """Append `part` to the current word; begin a word if there is none."""
        self.word = (self.word or "") + part

    def _end_word(self) -> None:
        """Append the current word, if any, to `found`."""
        if self.word is not None:
            self.found.append(self.word)
        self.word = None

    def _note(self, words: str) -> None:
        """Append a note about the text unless it is there already."""
        if words not in self.notes:
            self.notes.append(words)


def _as_typed(mended: str, place: str) -> str | None:
    """Return `mended` split and quoted again as one line; None if it has an open quote, too."""
    try:
        tokens = Scanner(text=mended, place=place).tokens()
    except SettingsError:
        return None
    return joined(mask_argv(tokens))
