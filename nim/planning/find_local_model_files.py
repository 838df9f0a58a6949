"""Find a model's files in a directory or hub cache of this machine, and check that they can be loaded."""

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from nim.engine.supported_names_catalog import load_catalog
from nim.errors import WeightsError
from nim.frozen_dataclass import frozen_dataclass
from nim.models.checkpoint.findings import Fault, refuse
from nim.models.checkpoint.read_local_model import LocalModel, read_local_model, read_snapshot
from nim.models.checkpoint.select_weight_files import AUTO
from nim.models.checkpoint.warn_missing_tokenizer_or_code import remote_code_warnings, tokenizer_warnings
from nim.models.checkpoint.weight_bytes_by_type import is_quantized
from nim.models.hub.cache_snapshots import find_snapshot
from nim.models.hub.repositories_to_download import cache_of, wanted_of
from nim.models.requested_model import ModelWish, Source
from nim.planning.checks.check_architecture import check_model_names
from nim.planning.plan_request import Request
from nim.planning.read_host_facts import read_host_facts
from nim.preflight.check_mounts import Place, probe
from nim.settings import Settings
from nim.value_origins import Value

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
TRUE = ("1", "ON", "YES", "TRUE")
# With it the engine takes its models from another hub, whose cache is not read here.
OTHER_HUB = "VLLM_USE_MODELSCOPE"

Values = Mapping[str, Value]


def why_offline(settings: Settings, environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable that forbids downloads; None if downloads are allowed."""
    if settings.disable_model_download:
        return settings.names_used["disable_model_download"]
    return next((name for name in OFFLINE if environ.get(name, "").upper() in TRUE), None)


def why_not_fetched(request: Request, source: Source) -> str | None:
    """Return the name of the variable that forbids to download this source; the hub's apply to the hub."""
    return why_offline(request.settings, {} if source.remote else request.environ)


@frozen_dataclass
class KnownFiles:
    """Files of a model without a manifest on this machine. `weights_bytes` assume 16 bits per weight.

    None: nothing is there, or not all of it, or it is not known what the engine loads. `values` is as much of
    the engine's configuration as was known then.
    """

    model: LocalModel | None = None
    weights_bytes: int | None = None
    values: Values = field(default_factory=dict)

    @property
    def config(self) -> Mapping[str, Any] | None:
        """Return the model's parsed config.json; None if no files are known."""
        return self.model.config if self.model else None


def known_files(request: Request, wish: ModelWish, values: Values) -> KnownFiles:
    """Return the KnownFiles of the model the user named; empty if it has a manifest or is not here."""
    if wish.source is None or wish.manifest_file or wish.manifest_name:
        return KnownFiles()
    model = read_source(request, wish.source, wish.place, values)
    if model is None or model.weights is None:
        return KnownFiles(model=model, values=values)
    loaded = model.weights.loaded_bytes(quantized=is_quantized(model.config))
    return KnownFiles(model=model, weights_bytes=loaded, values=values)


def judge_model(
    request: Request, source: Source, place: str, values: Values, known: LocalModel | None = None
) -> tuple[LocalModel | None, tuple[str, ...]]:
    """Return (the model's local files, warnings about them); WeightsError if the engine cannot load them.

    `known` was read before, with the load format that was known then. Of a repository whose download is
    allowed, what lacks is not counted: the engine fetches it.
    """
    model = known if known and known.load_format == _load_format(values) else None
    model = model or read_source(request, source, place, values)
    why = why_not_fetched(request, source)
    if model is None:
        _refuse_uncached(request, source, values, why)
        return None, ()
    ignored = {Fault.MISSING} if (source.repository or source.remote) and not why else set()
    refused = set(Fault) - ignored - _only_warned_of(request, source)
    refuse(model.findings, *refused)
    lines = [finding.line for finding in model.findings if finding.fault not in ignored]
    strict = request.settings.strict_args and not request.settings.engine_command
    lines += check_model_names(model, values, load_catalog(), strict=strict)
    return model, (*lines, *(_about_companions(model, values) if source.path else ()))


def _about_companions(model: LocalModel, values: Values) -> Iterator[str]:
    """Yield warnings about the tokenizer's files and the model's own code."""
    if not any(_option(values, name) for name in ("tokenizer", "skip_tokenizer_init")):
        yield from tokenizer_warnings(model.files)
    if _option(values, "trust_remote_code"):
        yield from remote_code_warnings(model.files, model.config)


def _only_warned_of(request: Request, source: Source) -> set[Fault]:
    """Return the set of Faults that are warnings here, since another engine or machine loads."""
    if request.settings.engine_command or (request.other_machine and (source.repository or source.remote)):
        return set(Fault)
    return {Fault.PLACEHOLDER} if request.other_machine else set()


def _refuse_uncached(request: Request, source: Source, values: Values, why: str | None) -> None:
    """Raise WeightsError if downloads are forbidden (`why`) for a model not in the hub cache."""
    only_warned_of = request.other_machine or request.settings.engine_command
    if only_warned_of or (source.repository and _uses_other_hub(values)):
        return
    if why and (source.repository or source.remote):
        cache = read_host_facts(request.settings, request.environ).cache_dir
        where = cache if source.remote else cache_of(values, request.environ)
        raise WeightsError(
            f"cannot serve {source.uri}: '{where}' has nothing of it, and {why} says to fetch nothing",
            hint=f"nim fetch --model-uri {source.uri}, without {why}",
        )


def read_source(request: Request, source: Source, place: str, values: Values) -> LocalModel | None:
    """Return the LocalModel read from a directory or the hub cache; None if it is not in the cache."""
    if source.path:
        return read_local_model(Path(source.path), place, _load_format(values))
    if source.remote:
        return None
    if _uses_other_hub(values):
        return None
    probe_hub_cache(request, values)
    wanted = next(iter(wanted_of(source, values, request.environ)))
    snapshot = find_snapshot(wanted.directory, wanted.revision)
    return read_snapshot(snapshot, _load_format(values)) if snapshot else None


def probe_hub_cache(request: Request, values: Values) -> None:
    """Raise PreflightError if the hub cache is on a mount that does not respond; else return None."""
    cache = Place(path=Path(cache_of(values, request.environ)), variable="NIM_CACHE_PATH")
    probe(iter((cache,)), request.settings.cache_probe_timeout)


def _uses_other_hub(values: Values) -> bool:
    """Return True if VLLM_USE_MODELSCOPE is on: models then come from ModelScope."""
    return _option(values, OTHER_HUB).upper() in TRUE


def _load_format(values: Values) -> str:
    """Return the value of --load-format in lower case; "auto" if it is not set."""
    return _option(values, "load_format").lower() or AUTO


def _option(values: Values, name: str) -> str:
    """Return an option's value as text; "" if it is not set."""
    return str(values[name].value or "") if name in values else ""
