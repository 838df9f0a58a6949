"""Check the directory of NIM_PEFT_SOURCE, and the adapters that are in it already."""

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from nim.engine import OptionTable
from nim.errors import SettingsError
from nim.models.fit_lora_adapter import other_base, rank_fault
from nim.models.read_lora_adapters import read_adapters
from nim.options.features.resolve_adapters import decide_adapters
from nim.plan import AdapterPlan
from nim.planning.checks.check_options import CheckedModel, model_names
from nim.planning.plan_request import Request
from nim.value_origins import Value

# Of more, only the first are read here: each is checked again before it is loaded.
MOST_READ = 100


def plan_adapters(
    request: Request, config: Mapping[str, Value], table: OptionTable, model: CheckedModel
) -> tuple[AdapterPlan | None, tuple[str, ...]]:
    """Return (AdapterPlan or None, warnings); SettingsError for a source or options that cannot work."""
    adapters, unused = decide_adapters(request.settings, config, table, model_names(model))
    return adapters, (*unused, *check_adapter_source(adapters, request))


def check_adapter_source(adapters: AdapterPlan | None, request: Request) -> tuple[str, ...]:
    """Return warnings about adapters that will not be served; SettingsError if their directory is none."""
    if adapters is None or (request.other_machine and not Path(adapters.source).is_dir()):
        return ()
    try:
        with os.scandir(adapters.source) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and entry.name[0] != ".")
    except OSError as error:
        raise SettingsError(
            f"cannot use NIM_PEFT_SOURCE '{adapters.source}' (from the environment): {error.strerror}",
            hint=f"mkdir -p '{adapters.source}': an empty directory will do, adapters may come later",
        ) from None
    return tuple(_doubts(adapters, names))


def _doubts(adapters: AdapterPlan, names: list[str]) -> Iterator[str]:
    """Yield a warning for each adapter that will not be served as it is, or was trained on another model."""
    modules = [{"name": name, "path": f"{adapters.source}/{name}"} for name in islice(names, MOST_READ)]
    for adapter in read_adapters(modules):
        if fault := adapter.fault or rank_fault(adapter, adapters.max_rank):
            yield f"the adapter {adapter.name} of NIM_PEFT_SOURCE will not be served: {fault}"
        elif doubt := other_base(adapter, adapters.base_names):
            yield doubt
