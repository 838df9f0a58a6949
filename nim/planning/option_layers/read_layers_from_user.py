"""Read the three strongest option layers: NIM_* variables, NIM_PASSTHROUGH_ARGS, the command line."""

from nim.engine import OptionTable, variable_warnings
from nim.engine.arguments.split_line import Line, read_line
from nim.frozen_dataclass import frozen_dataclass
from nim.models.requested_model import COMMAND_LINE as MODEL_ARGUMENT
from nim.options.option_layers import Entry, entries
from nim.options.settings_layer import settings_entries
from nim.planning.option_layers.read_engine_argument_line import COMMAND_LINE, PASSTHROUGH, read_arguments
from nim.planning.plan_request import Request
from nim.settings import Settings
from nim.value_origins import Layer


@frozen_dataclass
class Written:
    """Entries of the three user layers, and the model if a line of arguments names one."""

    entries: tuple[Entry, ...]
    model: str | None
    model_place: str
    verbatim: tuple[str, ...]
    warnings: tuple[str, ...]


def read_written(request: Request, table: OptionTable) -> Written:
    """Return the user's three layers as Written; SettingsError lists all that is invalid in one of them."""
    settings = request.settings
    variables = settings_entries(settings, table)
    line = read_line(settings.passthrough_args or "", place=PASSTHROUGH)
    parts = [
        (Layer.PASSTHROUGH, read_arguments(line, PASSTHROUGH, settings, table)),
        (Layer.CLI, read_arguments(Line(tokens=request.arguments), COMMAND_LINE, settings, table)),
    ]
    own = list(variables.entries)
    for layer, one in parts:
        own += entries(layer, one.place, one.parsed.values)
    named = [(one.model, one.model_place) for _, one in parts if one.model]
    model, place = named[-1] if named else (None, MODEL_ARGUMENT)
    return Written(
        entries=tuple(own),
        model=model,
        model_place=place,
        verbatim=(*variables.rest, *(word for _, one in parts for word in one.parsed.rest)),
        warnings=(
            *variables.warnings,
            *(warning for _, one in parts for warning in one.warnings),
            *variable_warnings(request.environ, table),
            *_two_models(parts[0][1].model, settings),
        ),
    )


def _two_models(passed: str | None, settings: Settings) -> tuple[str, ...]:
    """Return one warning if NIM_MODEL_PATH and NIM_PASSTHROUGH_ARGS name different models; else ()."""
    if passed is None or settings.model_path in (None, passed):
        return ()
    name = settings.names_used["model_path"]
    return (f"{name} '{settings.model_path}' is not used: {PASSTHROUGH} names {passed}",)
