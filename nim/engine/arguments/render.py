"""Render option values as engine tokens, the inverse of parsing: canonical spelling, given order."""

import re
from collections.abc import Mapping
from typing import Any

from nim.engine.arguments import argument_error_messages as messages
from nim.engine.arguments.read_numbers_and_names import MisfitError
from nim.engine.arguments.read_option_values import read_value
from nim.engine.arguments.read_unquoted_json import write_json
from nim.engine.option_table import Count, Kind, Option, OptionTable

_NEGATIVE_INTEGER = re.compile(r"-\d+")
_VALUES = "the options to render"


def render_arguments(values: Mapping[str, Any], table: OptionTable) -> tuple[str, ...]:
    """Return options (name → value) as command-line tokens; SettingsError if one cannot be written."""
    tokens: list[str] = []
    for name, value in values.items():
        option = table.named(name)
        if option is None:
            raise messages.refuse_all([messages.unknown_name(name, table, _VALUES)], _VALUES)
        tokens.extend(option_tokens(option, value))
    return tuple(tokens)


def option_tokens(option: Option, value: Any) -> tuple[str, ...]:
    """Return the command-line tokens of one option; () for None; SettingsError for an invalid value.

    true gives the flag, false its `--no-` form (nothing if it has none), null nothing, an object one JSON
    token, a list the flag and its items. A value that begins with a dash is joined with `=`.
    """
    try:
        return _tokens(option, read_value(option, value).value)
    except MisfitError as why:
        raise messages.refuse_all([messages.misfit(option.name, option, why, _VALUES)], _VALUES) from None


def _tokens(option: Option, value: Any) -> tuple[str, ...]:
    """Return the command-line tokens of an option's checked value; () for None."""
    if value is None:
        # Omitting the option means null, unless the engine's default differs.
        return (option.flag, "None") if option.nullable and option.default is not None else ()
    if isinstance(value, bool):
        return _yes_or_no(option, value)
    if option.repeats:
        return tuple(token for item in value for token in _with_value(option, _text(option, item)))
    if option.count is Count.MANY:
        return _with_items(option, [_text(option, item) for item in value])
    return _with_value(option, _text(option, value))


def _yes_or_no(option: Option, value: bool) -> tuple[str, ...]:
    """Return ("--x",) for True, ("--no-x",) for False; () if the option has no negative form."""
    if value:
        return (option.flag,)
    return option.negatives[:1]


def _with_value(option: Option, text: str) -> tuple[str, ...]:
    """Return (flag, text), or ("flag=text",) if the text begins with a dash; MisfitError for `--`."""
    _check_sayable(text)
    return (f"{option.flag}={text}",) if text.startswith("-") else (option.flag, text)


def _with_items(option: Option, texts: list[str]) -> tuple[str, ...]:
    """Return the flag followed by the items; () for an empty list; MisfitError if it cannot be said."""
    if not texts:
        if option.default:
            raise MisfitError("an empty list cannot be said", allowed=("one item or more",))
        return ()
    if len(texts) == 1:
        return _with_value(option, texts[0])
    for text in texts:
        _check_sayable(text)
        if text.startswith("-") and not _NEGATIVE_INTEGER.fullmatch(text):
            raise MisfitError(f'"{text}" begins with a dash, which an item of a list cannot')
    return (option.flag, *texts)


def _check_sayable(text: str) -> None:
    """Raise MisfitError if the text is `--` or contains a zero byte; else return None."""
    if text == "--":
        raise MisfitError('"--" cannot be a value: it ends the options')
    if "\0" in text:
        raise MisfitError("an argument cannot hold a zero byte")


def _text(option: Option, value: Any) -> str:
    """Return one value as argument text: a string as it is, None as "None", other values as JSON."""
    if value is None:
        return "None"
    if option.kind is Kind.COMMA_LIST:
        return ",".join(str(item) for item in value)
    if isinstance(value, str):
        return value
    return repr(value) if isinstance(value, int | float) else write_json(value)
