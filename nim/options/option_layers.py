"""The seven layers, each as a list of entries: option, value, origin. `resolve` merges them."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from nim.engine import OptionTable, ParsedArguments, check_values
from nim.errors import ManifestError, SettingsError
from nim.frozen_dataclass import frozen_dataclass
from nim.selection.effective_options import JSON_ARGS_TAG
from nim.value_origins import Layer, Origin

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
PARALLEL_TAGS = {"tp": "tensor_parallel_size", "pp": "pipeline_parallel_size"}


@frozen_dataclass
class Entry:
    """One option's value in one layer. An upper-case name is an environment variable of the engine."""

    name: str
    value: Any
    origin: Origin


def entries(layer: Layer, place: str, values: Mapping[str, Any]) -> tuple[Entry, ...]:
    """Return a tuple with one Entry for each name and value, all of the same layer and place."""
    origin = Origin(layer=layer, place=place)
    return tuple(Entry(name=name, value=value, origin=origin) for name, value in values.items())


@frozen_dataclass
class Layered:
    """One layer: its entries, warnings, and tokens that are passed on unchecked."""

    entries: tuple[Entry, ...]
    warnings: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()


def profile_entries(
    label: str,
    tags: Mapping[str, str],
    args: Mapping[str, Any],
    env: Mapping[str, str],
    table: OptionTable,
    *,
    strict: bool = True,
) -> Layered:
    """Return the Layered options of a profile: tags, JSON args, args, env. ManifestError if invalid.

    Values get the checks of the engine's flags. ManifestError for a value that the engine would not take.
    """
    place = f"profile {label}"
    sizes = {option: int(tags[tag]) for tag, option in PARALLEL_TAGS.items() if tag in tags}
    parts = [(place, sizes)]
    if JSON_ARGS_TAG in tags:
        parts.append((f"{place}, tag {JSON_ARGS_TAG}", _json_args(label, tags[JSON_ARGS_TAG])))
    parts.append((place, {option_name(name): value for name, value in args.items()}))
    checked = [(where, _checked(values, table, where, strict=strict)) for where, values in parts]
    found = [entry for where, one in checked for entry in entries(Layer.PROFILE, where, one.values)]
    return Layered(
        entries=(*found, *entries(Layer.PROFILE, place, env)),
        warnings=tuple(warning for _, one in checked for warning in one.warnings),
    )


def _checked(values: Mapping[str, Any], table: OptionTable, place: str, *, strict: bool) -> ParsedArguments:
    """Return a profile's options as ParsedArguments; ManifestError if the engine would refuse one."""
    try:
        return check_values(values, table, place=place, strict=strict)
    except SettingsError as error:
        raise ManifestError(error.message, allowed=error.allowed, hint=error.hint) from None


def environment_entries(
    environ: Mapping[str, str], weaker: Iterable[Entry], strays: Collection[str]
) -> Iterator[Entry]:
    """Yield an Entry for each VLLM_* variable in `environ`, and each variable that `weaker` sets.

    `strays` are left out, and so is CUDA_VISIBLE_DEVICES, which the detection of the hardware has read.
    """
    also = {entry.name for entry in weaker if entry.name.isupper() and environ.get(entry.name)}
    names = {name for name in environ if name.startswith("VLLM_")} | also
    for name in sorted(names - {*strays, VISIBLE_DEVICES}):
        yield Entry(name=name, value=environ[name], origin=Origin(layer=Layer.ENV, place=name))


def option_name(flag: str) -> str:
    """Return a flag as an option's name: `max_model_len` for `--max-model-len`."""
    return flag.removeprefix("--").replace("-", "_")


def _json_args(label: str, text: str) -> dict[str, Any]:
    """Return the options in a profile's nim_json_args tag as a dict; ManifestError if it is no JSON dict."""
    try:
        values = json.loads(text)
    except ValueError as error:
        message = f"cannot read the tag {JSON_ARGS_TAG} of profile '{label}': {error}"
        raise ManifestError(message, hint="write it as one JSON object of engine options") from None
    if not isinstance(values, dict):
        message = f"cannot read the tag {JSON_ARGS_TAG} of profile '{label}': it is not a JSON object"
        raise ManifestError(message, hint='write it as one JSON object, such as {"max_num_seqs": 64}')
    return {option_name(name): value for name, value in values.items()}
