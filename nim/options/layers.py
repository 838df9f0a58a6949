"""The seven layers, each as a list of entries: option, value, origin. `resolve` settles them."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nim.engine import OptionTable, check_setting
from nim.errors import ManifestError
from nim.settings import Settings, declared
from nim.values import Layer, Origin

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
JSON_ARGS_TAG = "nim_json_args"
PARALLEL_TAGS = {"tp": "tensor_parallel_size", "pp": "pipeline_parallel_size"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one layer says about one option. An upper-case name is an environment variable of the engine."""

    name: str
    value: Any
    origin: Origin


def entries(layer: Layer, place: str, values: Mapping[str, Any]) -> tuple[Entry, ...]:
    """Several values from one place."""
    origin = Origin(layer=layer, place=place)
    return tuple(Entry(name=name, value=value, origin=origin) for name, value in values.items())


def profile_entries(
    label: str, tags: Mapping[str, str], args: Mapping[str, Any], env: Mapping[str, str]
) -> Iterator[Entry]:
    """A profile's tags, its `nim_json_args`, and its engine's arguments and environment, weakest first."""
    place = f"profile {label}"
    sizes = {option: int(tags[tag]) for tag, option in PARALLEL_TAGS.items() if tag in tags}
    yield from entries(Layer.PROFILE, place, sizes)
    if JSON_ARGS_TAG in tags:
        yield from entries(
            Layer.PROFILE, f"{place}, tag {JSON_ARGS_TAG}", _json_args(label, tags[JSON_ARGS_TAG])
        )
    yield from entries(Layer.PROFILE, place, {option_name(name): value for name, value in args.items()})
    yield from entries(Layer.PROFILE, place, env)


def settings_entries(settings: Settings) -> Iterator[Entry]:
    """The variables of ours that set an engine option, where they are given."""
    for field, declaration in declared().items():
        if declaration.option and settings.given(field):
            origin = Origin(layer=Layer.ENV, place=settings.names_used[field])
            value = getattr(settings, field)
            yield Entry(
                name=declaration.option,
                value=list(value) if isinstance(value, tuple) else value,
                origin=origin,
            )


def checked_settings(settings: Settings, table: OptionTable) -> tuple[list[Entry], list[str]]:
    """Return those entries, each checked as the option that it sets is checked, and warnings."""
    own: list[Entry] = []
    warnings: list[str] = []
    for entry in settings_entries(settings):
        checked = check_setting(
            entry.name, entry.value, table, variable=entry.origin.place, strict=settings.strict_args
        )
        own += [replace(entry, value=value) for value in checked.values.values()]
        warnings += checked.warnings
    return own, warnings


def environment_entries(
    environ: Mapping[str, str], weaker: Iterable[Entry], strays: Collection[str]
) -> Iterator[Entry]:
    """The engine's own variables, and those that a weaker layer sets, where the user says otherwise.

    `strays` are nobody's wish. Which GPUs the user lets us see was heard when the hardware was looked at.
    """
    also = {entry.name for entry in weaker if entry.name.isupper() and environ.get(entry.name)}
    names = {name for name in environ if name.startswith("VLLM_")} | also
    for name in sorted(names - {*strays, VISIBLE_DEVICES}):
        yield Entry(name=name, value=environ[name], origin=Origin(layer=Layer.ENV, place=name))


def option_name(flag: str) -> str:
    """`--max-model-len`, `max-model-len` and `max_model_len` are one option: `max_model_len`."""
    return flag.removeprefix("--").replace("-", "_")


def _json_args(label: str, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        message = f"cannot read the tag {JSON_ARGS_TAG} of profile '{label}': {error}"
        raise ManifestError(message, hint="write it as one JSON object of engine options") from None
    if not isinstance(values, dict):
        message = f"cannot read the tag {JSON_ARGS_TAG} of profile '{label}': it is not a JSON object"
        raise ManifestError(message, hint='write it as one JSON object, such as {"max_num_seqs": 64}')
    return {option_name(name): value for name, value in values.items()}
