"""Refusals of words in place of an option: what they were meant as."""

import json
from collections.abc import Sequence

from nim.engine.arguments.argument_error_messages import Refusal
from nim.engine.arguments.quoting import TYPOGRAPHIC, joined, plain_dashes
from nim.engine.option_table import Count, Option, OptionTable
from nim.redact import MASK, is_secret_name, mask_argv

_FOR_A_SHELL = frozenset({"&&", "||", "|", "&", ";", ">", ">>", "<", "2>&1"})
_NO = ("false", "no", "off", "0")


def stray(token: str, previous: Option | None, table: OptionTable, place: str) -> Refusal:
    """Return the Refusal of a word that is no option and no value; `previous` is the option before it."""
    shown = MASK if previous is not None and is_secret_name(previous.name) else token
    message = f'cannot use "{shown}" from {place}: '
    if token.startswith("-") and " " in token:
        only = token.partition(" ")[0]
        reason = f'cannot use "{only} …" from {place}: it is one argument with a blank in it'
        return Refusal(message=reason, hint=_as_two(token))
    if token.startswith(tuple(TYPOGRAPHIC)):
        return Refusal(message=f"{message}it begins with a typographic dash", hint=plain_dashes(token))
    if previous is not None and previous.count is Count.NONE:
        allowed = (previous.flag, *previous.negatives[:1])
        return Refusal(message=f"{message}{previous.flag} takes no value", allowed=allowed)
    return Refusal(message=f"{message}no option goes with it", hint=_stray_hint(token, table))


def _stray_hint(token: str, table: OptionTable) -> str:
    """Return as text what to type instead of the misplaced word `token`."""
    name, equals, value = token.partition("=")
    if equals and (option := table.named(name)):
        return joined(mask_argv((f"{option.flag}={value}",)))
    if equals and name.isidentifier() and name.isupper():
        return f"{name}=… among the variables of the container: it is no argument"
    if token in _FOR_A_SHELL or token.startswith("$"):
        return "no shell reads this: leave it out"
    if option := table.named(token.lstrip("\"'")):
        return option.flag
    if named := _named_values(token, table):
        return joined(mask_argv(named))
    return "a value stands behind its option, in quotes where it has blanks"


def _named_values(token: str, table: OptionTable) -> list[str]:
    """Return the arguments equivalent to a JSON object whose keys are option names; [] for other text."""
    try:
        values = json.loads(token)
    except ValueError:
        return []
    named = values.items() if isinstance(values, dict) else ()
    found = [(option, value) for name, value in named if (option := table.named(name))]
    return [
        word
        for option, value in found
        for word in _set(option, value if isinstance(value, str) else json.dumps(value))
    ]


def _set(option: Option, text: str) -> tuple[str, ...]:
    """Return the arguments that set `option` to this value, such as ("--x=1",) or ("--no-x",)."""
    if option.count is not Count.NONE:
        return (f"{option.flag}={text}",)
    return option.negatives[:1] if text.lower() in _NO else (option.flag,)


def _as_two(token: str) -> str:
    """Return the hint to split "--flag value", written as one token, into two arguments."""
    flag, _, value = token.partition(" ")
    shown = MASK if is_secret_name(flag) else value.strip()
    return f'"{flag}", "{shown}" as two arguments'


def yaml_key(token: str, option: Option, values: Sequence[str], place: str) -> Refusal:
    """Return the Refusal of the YAML spelling `name: value` in place of `--name value`."""
    message = f'cannot use "{token}" from {place}: it is a key of YAML, and not an option'
    return Refusal(message=message, hint=joined(mask_argv(_set(option, " ".join(values)))))
