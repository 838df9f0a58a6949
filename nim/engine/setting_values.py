"""Values of variables that stand for an option get the check of that option."""

from types import MappingProxyType
from typing import Any

from nim.engine.arguments import ParsedArguments
from nim.engine.option_values import read_value
from nim.engine.refusals import OWNED
from nim.engine.scalars import MisfitError
from nim.engine.table import OptionTable
from nim.errors import SettingsError


def check_setting(
    name: str, value: Any, table: OptionTable, *, variable: str, strict: bool = True
) -> ParsedArguments:
    """Return the value that `variable` gives to the option `name`, in its canonical form.

    Raises a SettingsError that names the variable; without `strict` the value is left out with a warning.
    Options that the launcher sets are its own affair.
    """
    option = table.named(name)
    if option is None or option.name in OWNED:
        return ParsedArguments(values=MappingProxyType({name: value}))
    try:
        reading = read_value(option, value)
    except MisfitError as why:
        message = f"cannot use {variable} for {option.flag}: {why.reason}"
        if strict:
            hint = f"{variable}={why.write}" if why.write else None
            raise SettingsError(message, allowed=why.allowed, hint=hint) from None
        return ParsedArguments(values=MappingProxyType({}), warnings=(f"{message}; it is left out",))
    notes = [f"{variable}: {note}" for note in (reading.note, option.deprecated) if note]
    return ParsedArguments(values=MappingProxyType({name: reading.value}), warnings=tuple(notes))
