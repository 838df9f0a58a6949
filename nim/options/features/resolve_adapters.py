"""Resolve NIM_PEFT_SOURCE: the engine options that adapters need, and what they must suit."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nim.engine import OptionTable
from nim.errors import SettingsError
from nim.models.remote.cache_directories import CURRENT, directory_of
from nim.models.requested_model import Source, read_source
from nim.options.option_layers import Entry, entries
from nim.plan import AdapterPlan, RemoteModel
from nim.settings import Settings
from nim.value_origins import Layer, Value

RUNTIME_VARIABLE = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
# vLLM keeps adapters in each API server, and refuses to load them at run time where there are several.
_NEEDED: Mapping[str, Any] = {"enable_lora": True, "api_server_count": 1, RUNTIME_VARIABLE: "1"}


def adapter_entries(settings: Settings) -> Iterator[Entry]:
    """Yield Entries for what loading adapters at run time needs; nothing without NIM_PEFT_SOURCE."""
    if settings.peft_source is not None:
        yield from entries(Layer.ENV, settings.names_used["peft_source"], _NEEDED)


def decide_adapters(
    settings: Settings,
    config: Mapping[str, Value],
    table: OptionTable,
    base_names: Sequence[str],
    cache_dir: str,
) -> tuple[AdapterPlan | None, tuple[str, ...]]:
    """Return (AdapterPlan or None, warnings); SettingsError for a source or options that cannot work."""
    if settings.peft_source is None:
        return None, tuple(_unused(settings))
    source = settings.peft_source
    found = read_source(source, "NIM_PEFT_SOURCE")
    remote = _remote(found, cache_dir)
    for name, needed in _NEEDED.items():
        value = config[name]
        if str(value.value) != str(needed):
            raise SettingsError(
                f"cannot use NIM_PEFT_SOURCE '{source}' (from the environment) with {name} "
                f"'{value.value}' (from {value.origin.place})",
                hint="leave one of the two out",
            )
    rank = config.get("max_lora_rank")
    served = config["served_model_name"].value if "served_model_name" in config else ()
    return AdapterPlan(
        source=f"{remote.directory}/{CURRENT}" if remote else str(Path(source).absolute()),
        refresh_seconds=settings.peft_refresh_interval,
        api_timeout_seconds=settings.peft_api_timeout,
        max_rank=int(rank.value) if rank else table.options["max_lora_rank"].default,
        base_names=tuple(dict.fromkeys((*base_names, *map(str, served)))),
        name=found.name.rpartition("/")[2],
        remote=remote,
    ), ()


def _remote(source: Source, cache_dir: str) -> RemoteModel | None:
    """Return the RemoteModel that stands for adapters elsewhere; None for those of a directory."""
    if source.path:
        return None
    return RemoteModel(uri=source.uri, directory=str(directory_of(cache_dir, source.uri)), adapters=True)


def _unused(settings: Settings) -> Iterator[str]:
    """Yield a warning for each variable about adapters that does nothing without NIM_PEFT_SOURCE."""
    for field in ("peft_refresh_interval", "peft_api_timeout"):
        if settings.given(field):
            yield f"{settings.names_used[field]} does nothing: NIM_PEFT_SOURCE is not set"
