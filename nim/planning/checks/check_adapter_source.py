"""Check the directory of NIM_PEFT_SOURCE, and the adapters that are in it already."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from nim.engine import OptionTable
from nim.errors import SettingsError, WeightsError
from nim.models.fit_lora_adapter import other_base, rank_fault
from nim.models.read_lora_adapters import adapter_directories, read_adapters
from nim.models.requested_model import HUB
from nim.options.features.resolve_adapters import decide_adapters
from nim.plan import AdapterPlan, RemoteModel
from nim.planning.checks.check_options import CheckedModel, model_names
from nim.planning.find_local_model_files import why_offline
from nim.planning.plan_request import Request
from nim.value_origins import Value

# Of more, only the first are read here: each is checked again before it is loaded.
MOST_READ = 100


def plan_adapters(
    request: Request, config: Mapping[str, Value], table: OptionTable, model: CheckedModel, cache_dir: str
) -> tuple[AdapterPlan | None, tuple[str, ...]]:
    """Return (AdapterPlan or None, warnings); SettingsError for a source or options that cannot work."""
    adapters, unused = decide_adapters(request.settings, config, table, model_names(model), cache_dir)
    if adapters and adapters.remote and not request.other_machine:
        adapters = _unless_forbidden(adapters, adapters.remote, request)
    return adapters, (*unused, *check_adapter_source(adapters, request))


def check_adapter_source(adapters: AdapterPlan | None, request: Request) -> tuple[str, ...]:
    """Return warnings about adapters that will not be served; SettingsError if their directory is none."""
    if adapters is None:
        return ()
    if not Path(adapters.source).is_dir() and (request.other_machine or adapters.remote):
        return ()
    try:
        found = dict(adapter_directories(Path(adapters.source), adapters.name))
    except OSError as error:
        raise SettingsError(
            f"cannot use NIM_PEFT_SOURCE '{adapters.source}' (from the environment): {error.strerror}",
            hint=f"mkdir -p '{adapters.source}': an empty directory will do, adapters may come later",
        ) from None
    return tuple(_doubts(adapters, found))


def _unless_forbidden(adapters: AdapterPlan, remote: RemoteModel, request: Request) -> AdapterPlan:
    """Return the plan, without its remote if a setting forbids downloads; WeightsError if that is needed."""
    why = why_offline(request.settings, request.environ if remote.uri.startswith(HUB) else {})
    if why and not Path(adapters.source).is_dir():
        raise WeightsError(
            f"cannot use NIM_PEFT_SOURCE '{remote.uri}' (from the environment): its adapters are not in the "
            f"cache, and {why} forbids to fetch them",
            hint=f"unset {why}",
        )
    return replace(adapters, remote=None) if why else adapters


def _doubts(adapters: AdapterPlan, found: Mapping[str, Path]) -> Iterator[str]:
    """Yield a warning for each adapter that will not be served as it is, or was trained on another model."""
    modules = [{"name": name, "path": str(path)} for name, path in islice(found.items(), MOST_READ)]
    for adapter in read_adapters(modules):
        if fault := adapter.fault or rank_fault(adapter, adapters.max_rank):
            yield f"the adapter {adapter.name} of NIM_PEFT_SOURCE will not be served: {fault}"
        elif doubt := other_base(adapter, adapters.base_names):
            yield doubt
