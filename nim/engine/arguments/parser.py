"""Engine tokens as typed option values, as the engine's own parser reads them, without importing it.

It is stricter in four ways: options must be written in full; options that the launcher sets are refused;
numbers must be finite; a JSON option takes an object (or array) with known keys, each at most once.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from nim.engine.arguments import argument_error_messages as messages
from nim.engine.arguments import explain_misplaced_words as misplaced_words
from nim.engine.arguments.argument_error_messages import OWNED, Refusal
from nim.engine.arguments.dotted_options import Keyed, keyed_value, merge, nested
from nim.engine.arguments.quoting import DASHES
from nim.engine.arguments.read_numbers_and_names import MisfitError
from nim.engine.arguments.read_option_values import Reading, read_text, read_value
from nim.engine.arguments.read_unquoted_json import is_open, write_json
from nim.engine.arguments.token_reader import Word, is_value, read_word
from nim.engine.option_table import JSON_KINDS, KEYED_KINDS, Count, Kind, Option, OptionTable
from nim.frozen_dataclass import frozen_dataclass
from nim.redact import MASK, is_secret_name, mask_value

_PAIR = re.compile(r"\w+[:=]")
_END = "--"  # ends the options
_LAST_WINS = "is given more than once in"


@frozen_dataclass
class ParsedArguments:
    """The options in the tokens. `rest` is passed on unchecked, and is empty after a strict check."""

    values: Mapping[str, Any]
    model_tag: str | None = None
    warnings: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()


def parse_arguments(
    tokens: Sequence[str], table: OptionTable, *, place: str, strict: bool = True
) -> ParsedArguments:
    """Return the engine options in `tokens` as ParsedArguments; SettingsError lists all that is wrong.

    Without `strict` each error becomes a warning, and its tokens go to `rest`.
    """
    return _Parse(tuple(tokens), table, place, strict).run()


def check_values(
    values: Mapping[str, Any], table: OptionTable, *, place: str, strict: bool = True
) -> ParsedArguments:
    """Return option values from a file, by name, as ParsedArguments; SettingsError lists all faults.

    Without `strict` each error becomes a warning and its option is left out.
    """
    found: dict[str, Any] = {}
    refused: list[Refusal] = []
    warnings: list[str] = []
    for name, value in values.items():
        option = table.named(name)
        if option is None:
            refused.append(messages.unknown_name(name, table, place))
        elif option.name in OWNED:
            refused.append(messages.owned(option, name, place))
        else:
            try:
                reading = read_value(option, value)
            except MisfitError as why:
                refused.append(messages.misfit(name, option, why, place))
            else:
                found[option.name] = reading.value
                warnings += [
                    f'"{name}" in {place}: {said}' for said in (reading.note, option.deprecated) if said
                ]
    if refused and strict:
        raise messages.refuse_all(refused, place)
    warnings += [f"{refusal.one_line()}; it is left out" for refusal in refused]
    return ParsedArguments(values=MappingProxyType(found), warnings=tuple(warnings))


class _Parse:
    """State of one pass over the tokens."""

    def __init__(self, tokens: tuple[str, ...], table: OptionTable, place: str, strict: bool) -> None:
        self._tokens, self._table, self._place, self._strict = tokens, table, place, strict
        self._at = 0
        self._start = 0  # start of the current option or value
        self._previous: Option | None = None
        self._values: dict[str, Any] = {}
        self._keyed: dict[str, Keyed] = {}
        self._model_tag: str | None = None
        self._refused: list[Refusal] = []
        self._warnings: list[str] = []
        self._rest: list[str] = []

    def run(self) -> ParsedArguments:
        """Parse all tokens and return ParsedArguments; SettingsError lists all refused arguments."""
        while self._at < len(self._tokens):
            self._step()
        self._merge_keyed()
        if self._refused:
            raise messages.refuse_all(self._refused, self._place)
        return ParsedArguments(
            values=MappingProxyType(self._values),
            model_tag=self._model_tag,
            warnings=tuple(self._warnings),
            rest=tuple(self._rest),
        )

    def _step(self) -> None:
        self._start = self._at
        token = self._tokens[self._at]
        self._at += 1
        if token == _END:
            while self._at < len(self._tokens):
                self._start = self._at
                self._at += 1
                self._positional(self._tokens[self._start])
        elif is_value(token):
            self._positional(token)
        else:
            self._option(read_word(token, self._table))

    def _positional(self, token: str) -> None:
        after_flag = self._previous is not None and self._previous.count is Count.NONE
        if token.endswith(":") and (option := self._table.named(token[:-1])):
            self._refuse(misplaced_words.yaml_key(token, option, self._following(option), self._place))
            return
        yes_or_no = after_flag and token.lower() in ("true", "false", "yes", "no", "on", "off", "1", "0")
        if self._model_tag is not None or yes_or_no or token.startswith(DASHES):
            self._refuse(misplaced_words.stray(token, self._previous, self._table, self._place))
        else:
            self._model_tag = token

    def _option(self, word: Word) -> None:
        found = self._table.find(word.flag)
        if found is None:
            self._skip_values()
            self._refuse(messages.unknown(word.said, word.flag, self._table, self._place))
            return
        option, positive = found
        self._previous = option
        if option.name in OWNED:
            self._refuse_owned(option, word)
        elif word.keys:
            self._keyed_option(option, word)
        elif option.count is Count.NONE:
            self._flag(option, positive, word)
        else:
            self._valued(option, word)

    def _flag(self, option: Option, positive: bool, word: Word) -> None:
        if word.inline is not None:
            self._refuse(messages.needless_value(word.said, option, self._place))
        else:
            self._set(option, positive)

    def _valued(self, option: Option, word: Word) -> None:
        texts = self._following(option) if word.inline is None else [self._whole(option, word.inline)]
        if not texts and option.count is Count.OPTIONAL:
            self._set(option, True)
            return
        if not texts:
            self._refuse_missing(option, word)
            return
        try:
            readings = [read_text(option, text) for text in texts]
        except MisfitError as why:
            self._refuse(messages.misfit(word.said, option, why, self._place, texts[0]))
            return
        self._note(word, readings)
        values = [reading.value for reading in readings]
        if option.repeats:
            self._values[option.name] = [*self._values.get(option.name, []), *values]
        else:
            self._set(option, values if option.count is Count.MANY else values[0])

    def _following(self, option: Option) -> list[str]:
        """Consume the values after an option, as many as it takes; return them as a list, [] without any."""
        taken: list[str] = []
        while self._at < len(self._tokens) and is_value(self._tokens[self._at]):
            taken.append(self._tokens[self._at])
            self._at += 1
            if option.count is not Count.MANY:
                break
        return [self._whole(option, taken[0])] if taken and option.kind in JSON_KINDS else taken

    def _whole(self, option: Option, text: str) -> str:
        """Return `text`; for a JSON option, joined with the following tokens that belong to it."""
        if option.kind not in JSON_KINDS:
            return text
        return self._closed(text) if is_open(text) else self._braced(option, text)

    def _closed(self, text: str) -> str:
        """Return JSON text joined with the next tokens until brackets close; unchanged if never."""
        joined, end = text, self._at
        while is_open(joined) and end < len(self._tokens) and is_value(self._tokens[end]):
            joined, end = f"{joined} {self._tokens[end]}", end + 1
        if not is_open(joined):
            self._at = end
            return joined
        return text

    def _braced(self, option: Option, text: str) -> str:
        """Return `k:v` joined by commas with the following `k:v` tokens, to be refused as one.

        Brace expansion makes the former of JSON; earlier releases of vLLM took the latter.
        """
        pairs = [text]
        if option.kind is not Kind.OBJECT_OR_STRING and _PAIR.match(text):
            while (following := self._peek()) is not None and _PAIR.match(following):
                pairs.append(following)
                self._at += 1
        return ",".join(pairs)

    def _keyed_option(self, option: Option, word: Word) -> None:
        """Consume `--option.key value` and record its value, or a refusal."""
        text = word.inline
        if text is None and (following := self._peek()) is not None and not following.startswith("--"):
            text = following
            self._at += 1
        if option.kind not in KEYED_KINDS:
            self._refuse(messages.no_keys(word.said, option, self._place))
        elif text is None:
            self._refuse_missing(option, word)
        else:
            self._add_keyed(option, word, text)

    def _add_keyed(self, option: Option, word: Word, text: str) -> None:
        reading = Reading(value=text.split(",")) if word.adds else keyed_value(text)
        self._note(word, [reading])
        keyed = self._keyed.setdefault(word.flag, Keyed(option))
        keyed.raw.extend(self._tokens[self._start : self._at])
        for key in merge(keyed.whole, nested(word.keys, reading.value)):
            self._warn(f'"{option.flag}.{key}" {_LAST_WINS} {self._place}; the last wins')

    def _merge_keyed(self) -> None:
        """Set each option given as `--option.key` parts to one merged object, or refuse it."""
        for flag, keyed in self._keyed.items():
            try:
                reading = read_text(keyed.option, write_json(keyed.whole))
            except MisfitError as why:
                refusal = messages.misfit(flag, keyed.option, why, self._place)
                self._refuse(refusal, keyed.raw)
            else:
                self._set(keyed.option, reading.value)

    def _set(self, option: Option, value: Any) -> None:
        if option.name in self._values:
            shown = MASK if is_secret_name(option.name) else write_json(mask_value("", value))
            self._warn(f'"{option.flag}" {_LAST_WINS} {self._place}; the last, {shown}, wins')
        if option.deprecated and option.name not in self._values:
            self._warn(f'"{option.flag}" in {self._place}: {option.deprecated}')
        self._values[option.name] = value

    def _note(self, word: Word, readings: Sequence[Reading]) -> None:
        """Record a warning for each Reading that has a note."""
        for note in (reading.note for reading in readings if reading.note):
            self._warn(f'the value of "{word.said}" in {self._place}: {note}')

    def _refuse_missing(self, option: Option, word: Word) -> None:
        """Record the refusal of an option without a value; a next `-word` may be it."""
        dashing = self._peek()
        if dashing is not None and self._is_dashing_value(dashing):
            self._at += 1
        else:
            dashing = None
        self._refuse(messages.no_value(word.said, option, dashing, self._place))

    def _is_dashing_value(self, token: str) -> bool:
        return not token.startswith("--") and self._table.find(read_word(token, self._table).flag) is None

    def _refuse_owned(self, option: Option, word: Word) -> None:
        """Record the refusal of an option that the launcher sets; not strict: warn and drop it."""
        if word.inline is None and option.count is not Count.NONE:
            self._following(option)
        refusal = messages.owned(option, word.said, self._place)
        if self._strict:
            self._refused.append(refusal)
        else:
            self._warn(f"{refusal.one_line()}; it is left out")

    def _refuse(self, refusal: Refusal, raw: Sequence[str] | None = None) -> None:
        """Record a Refusal; not strict: record a warning and pass the tokens `raw` on unchecked."""
        if self._strict:
            self._refused.append(refusal)
            return
        self._warn(f"{refusal.one_line()}; passed on as it is")
        self._rest.extend(self._tokens[self._start : self._at] if raw is None else raw)

    def _skip_values(self) -> None:
        while self._at < len(self._tokens) and is_value(self._tokens[self._at]):
            self._at += 1

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _warn(self, text: str) -> None:
        self._warnings.append(text)
