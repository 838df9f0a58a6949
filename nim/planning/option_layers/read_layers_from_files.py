"""Read two option layers from files: the chosen profile and the model's `runtime_config.json`."""

from pathlib import Path

from nim.engine import OptionTable, check_values, parse_arguments
from nim.engine.arguments.split_line import read_line
from nim.models.read_runtime_config import read_runtime_config
from nim.models.requested_model import Source
from nim.options.option_layers import Layered, entries, profile_entries
from nim.selection.select import Selection
from nim.settings import Settings
from nim.value_origins import Layer


def file_layers(selection: Selection, source: Source, table: OptionTable, settings: Settings) -> Layered:
    """Return the Layered entries of the profile and, read from disk, of the model's runtime_config.json."""
    brought = chosen_entries(selection, table, settings)
    beside = runtime_config_entries(source, table, settings)
    return Layered(
        entries=(*brought.entries, *beside.entries), warnings=(*brought.warnings, *beside.warnings)
    )


def chosen_entries(selection: Selection, table: OptionTable, settings: Settings) -> Layered:
    """Return the Layered entries of the chosen profile's options; reads no file."""
    engine, label = selection.profile.engine, selection.chosen.label
    return profile_entries(
        label, selection.profile.tags, engine.args, engine.env, table, strict=settings.strict_args
    )


def runtime_config_entries(source: Source, table: OptionTable, settings: Settings) -> Layered:
    """Return the Layered entries read from the model's runtime_config.json; empty without one."""
    if source.path is None:
        return Layered(entries=())
    config = read_runtime_config(Path(source.path))
    place = f"{config.place}, NIM_PASSTHROUGH_ARGS"
    line = read_line(config.passthrough, place=place)
    flags = parse_arguments(line.tokens, table, place=place, strict=settings.strict_args)
    options = check_values(config.options, table, place=config.place, strict=settings.strict_args)
    weaker = entries(Layer.RUNTIME_CONFIG, place, flags.values)
    return Layered(
        entries=(*weaker, *entries(Layer.RUNTIME_CONFIG, config.place, options.values)),
        warnings=(*(f"{place}: {note}" for note in line.notes), *flags.warnings, *options.warnings),
    )
