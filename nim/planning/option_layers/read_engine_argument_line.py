"""Read one line of engine arguments (NIM_PASSTHROUGH_ARGS or the command line): its options and its model."""

import re
from pathlib import Path

from nim.engine import OptionTable, ParsedArguments, parse_arguments
from nim.engine.arguments import argument_error_messages as messages
from nim.engine.arguments import explain_misplaced_words as misplaced_words
from nim.engine.arguments.pasted_command import without_command
from nim.engine.arguments.split_line import Line
from nim.frozen_dataclass import frozen_dataclass
from nim.models.requested_model import COMMAND_LINE as MODEL_ARGUMENT
from nim.models.requested_model import HUB
from nim.settings import Settings
from nim.settings.clean_pasted_values import reference

PASSTHROUGH = "NIM_PASSTHROUGH_ARGS"
COMMAND_LINE = "the command line"
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


@frozen_dataclass
class Read:
    """The options, model and notes of one line. `place` names where it was written, for origins."""

    place: str
    parsed: ParsedArguments
    model: str | None
    warnings: tuple[str, ...]

    @property
    def model_place(self) -> str:
        """Return, for error messages, where the model was named: a variable or the command line."""
        return MODEL_ARGUMENT if self.place == COMMAND_LINE else self.place


def read_arguments(line: Line, place: str, settings: Settings, table: OptionTable) -> Read:
    """Return the options and model in a tokenized line as Read; SettingsError for refused arguments."""
    arguments = without_command(line.tokens, place=place)
    parsed = parse_arguments(arguments.tokens, table, place=place, strict=settings.strict_args)
    model, note = _model(parsed.model_tag, pasted=bool(arguments.notes), place=place, table=table)
    left = (f"nothing replaces {found} here" for token in line.tokens if (found := reference(token)))
    notes = [f"{place}: {said}" for said in (*line.notes, *arguments.notes, note, *left) if said]
    return Read(place=place, parsed=parsed, model=model, warnings=(*notes, *parsed.warnings))


def _model(tag: str | None, *, pasted: bool, place: str, table: OptionTable) -> tuple[str | None, str | None]:
    """Return (model name or None, note or None) for the line's first word; SettingsError if no model."""
    if tag is None or Path(tag).exists():
        return tag, None
    if "/" not in tag:
        # A value without its option rather than a model.
        raise messages.refuse_all([misplaced_words.stray(tag, None, table, place)], place)
    if pasted and _REPOSITORY.fullmatch(tag):
        return HUB + tag, f"the model {tag} is taken for {HUB}{tag}"
    return tag, None
