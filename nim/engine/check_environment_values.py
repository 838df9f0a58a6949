"""Values of the engine's own variables, which it refuses while it starts."""

from collections.abc import Callable, Mapping
from typing import Any

from nim.engine.arguments.argument_error_messages import Refusal, refuse_all
from nim.engine.arguments.read_numbers_and_names import MisfitError
from nim.engine.option_table import OptionTable
from nim.errors import nearest
from nim.value_origins import Layer, Value

_NUMBERS: Mapping[str, Callable[[str], float]] = {"whole number": int, "number": float}
_SWITCHES = {
    **dict.fromkeys(("true", "yes", "on", "y", "t", "enabled"), "1"),
    **dict.fromkeys(("false", "no", "off", "n", "f", "disabled", "none"), "0"),
}
_MAX_LISTED = 12


def blank_variables(environ: Mapping[str, str], table: OptionTable) -> tuple[str, ...]:
    """Return sorted names of engine variables in `environ` that are blank and would be refused so."""
    return tuple(
        sorted(name for name in table.variable_values if name in environ and not environ[name].strip())
    )


def check_variable_values(
    config: Mapping[str, Value], table: OptionTable, *, strict: bool = True
) -> tuple[str, ...]:
    """Return warnings; if `strict`, SettingsError for engine variables with a refused value."""
    refused = [
        refusal
        for name, row in table.variable_values.items()
        if name in config and (refusal := _refusal(name, config[name], row))
    ]
    if refused and strict:
        raise refuse_all(refused, "the engine's variables")
    return tuple(f"{one.one_line()}; the engine refuses it" for one in refused)


def _refusal(name: str, value: Value, row: Mapping[str, Any]) -> Refusal | None:
    """Return the Refusal of an engine variable's value; None if the engine accepts it."""
    text = str(value.value)
    try:
        _check(text, row)
    except MisfitError as why:
        place = "the environment" if value.origin.layer is Layer.ENV else value.origin.place
        return Refusal(
            message=f'cannot use {name} "{text}" (from {place}): {why.reason}',
            allowed=why.allowed,
            hint=f"{name}={why.write}" if why.write else None,
        )
    return None


def _check(text: str, row: Mapping[str, Any]) -> None:
    """Raise MisfitError if the text is not among the row's choices, or not its kind of number."""
    if choices := tuple(row.get("choices", ())):
        words = [word.strip() for word in text.split(",") if word.strip()] if row.get("list") else [text]
        for word in words:
            _check_word(word, choices, folded=row.get("folded", False))
    elif not _is_number(text, row["kind"]):
        bare = _bare(text)
        meant = bare if _is_number(bare, row["kind"]) else _SWITCHES.get(bare.lower())
        raise MisfitError(f"it is not a {row['kind']}", write=meant)


def _check_word(word: str, choices: tuple[str, ...], *, folded: bool) -> None:
    """Raise MisfitError if `word` is not among `choices`; `folded` ignores case."""
    known = {choice.lower() for choice in choices} if folded else choices
    if (word.lower() if folded else word) not in known:
        same = tuple(choice for choice in choices if choice.lower() == _bare(word).lower())
        near = same or nearest(_bare(word), choices, 1)
        why = f'"{word}" is not among its choices'
        raise MisfitError(why, allowed=choices[:_MAX_LISTED], write=near[0] if near else None)


def _is_number(text: str, kind: str) -> bool:
    """Return True if Python's int or float, by `kind`, accepts the text."""
    try:
        _NUMBERS[kind](text)
    except ValueError:
        return False
    return True


def _bare(text: str) -> str:
    """Return the text without white space and quotes around it."""
    return text.strip().strip("'\"")
