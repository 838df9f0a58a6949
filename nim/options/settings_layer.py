"""The NIM_* variables that set an engine option, each checked as the option's flag is."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nim.engine import Option, OptionTable
from nim.engine.arguments.argument_error_messages import Refusal, refuse_all, variable_misfit
from nim.engine.arguments.read_numbers_and_names import MisfitError
from nim.engine.arguments.read_option_values import read_value
from nim.options.features.resolve_adapters import adapter_entries
from nim.options.features.resolve_speculation import draft_entries
from nim.options.option_layers import Entry, Layered
from nim.settings import Settings, declared
from nim.value_origins import Layer, Origin

# vLLM takes the smallest of this, the request's own number and the room left in the context.
OUTPUT_TOKENS_KEY = "max_new_tokens"


def settings_entries(settings: Settings, table: OptionTable) -> Layered:
    """Return the engine options that NIM_* variables set, as Layered; SettingsError lists bad values.

    Without a strict check such a value becomes a warning, and is passed on to the engine under its flag.
    """
    read = _Reading()
    for name, declaration in declared().items():
        if declaration.option and settings.given(name):
            option = table.options[declaration.option]
            read.add(settings.names_used[name], option, getattr(settings, name))
    read.entries += _output_tokens(settings)
    read.entries += adapter_entries(settings)
    read.entries += draft_entries(settings)
    if read.refused and settings.strict_args:
        raise refuse_all(read.refused, "the environment")
    warnings = [*read.warnings, *(f"{one.one_line()}; passed on as it is" for one in read.refused)]
    return Layered(entries=tuple(read.entries), warnings=tuple(warnings), rest=tuple(read.rest))


def _output_tokens(settings: Settings) -> Iterator[Entry]:
    """Yield an Entry with the ceiling of NIM_MAX_OUTPUT_TOKENS, a key of a JSON option; else nothing."""
    if settings.max_output_tokens is not None:
        origin = Origin(layer=Layer.ENV, place=settings.names_used["max_output_tokens"])
        value = {OUTPUT_TOKENS_KEY: settings.max_output_tokens}
        yield Entry(name="override_generation_config", value=value, origin=origin)


@dataclass(slots=True)
class _Reading:
    """Entries, refusals, warnings and unchecked tokens, collected variable by variable."""

    entries: list[Entry] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    def add(self, variable: str, option: Option, value: Any) -> None:
        """Check one variable's value; append its Entry and warnings, or its Refusal, to this object."""
        words = list(value) if isinstance(value, tuple) else [str(value)]
        try:
            reading = read_value(option, words if isinstance(value, tuple) else value)
        except MisfitError as why:
            self.refused.append(variable_misfit(variable, ",".join(words), why))
            self.rest += [option.flag, *words]
            return
        origin = Origin(layer=Layer.ENV, place=variable)
        self.entries.append(Entry(name=option.name, value=reading.value, origin=origin))
        notes = [note for note in (reading.note, option.deprecated) if note]
        self.warnings += [f"{variable} '{','.join(words)}': {note}" for note in notes]
