"""Turn settings, engine arguments and hardware into a plan, one step after the other."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nim.engine import (
    OptionTable,
    blank_variables,
    find_engine,
    load_options,
    service_links,
    unread_variables,
)
from nim.errors import PreflightError, SettingsError
from nim.hardware.describe_hardware import name_machine
from nim.manifest import (
    Manifest,
    Profile,
    local_path,
    manifest_to_json,
)
from nim.models.facts import ModelFacts, facts_of
from nim.models.hub.repositories_to_download import download_of
from nim.models.read_runtime_config import find_beside
from nim.models.remote.locate_source import (
    ModelPlaces,
    located,
    located_wish,
    model_places,
    place_of_weights,
    remote_download,
)
from nim.models.requested_model import ModelWish, Source, read_source, wished_model
from nim.models.served_tasks import served_tasks
from nim.options.cache_dir_variables import home_entries, place_entries
from nim.options.cpu_defaults import cpu_compile_entries, cpu_memory_entries
from nim.options.derived_options import (
    HostFacts,
    address_entries,
    default_entries,
    derived_entries,
    device_entries,
    kv_event_entries,
    loopback_entries,
)
from nim.options.features.resolve_plugins import add_plugins
from nim.options.features.resolve_speculation import ngram_entries
from nim.options.option_layers import (
    Entry,
    environment_entries,
)
from nim.options.resolve_engine_command import engine_command
from nim.options.resolve_layers import resolve
from nim.plan import AdapterPlan, AgentPlan, Download, Model, Plan
from nim.planning.assemble_plan import Decided, assemble
from nim.planning.checks.check_adapter_source import plan_adapters
from nim.planning.checks.check_options import CheckedModel, check_options
from nim.planning.choose_profile import Candidates, choose, find_candidates
from nim.planning.find_local_model_files import judge_model
from nim.planning.option_layers.read_layers_from_files import file_layers
from nim.planning.option_layers.read_layers_from_user import Written, read_written
from nim.planning.plan_agent import plan_agent
from nim.planning.plan_read_ahead import read_ahead_of
from nim.planning.plan_request import Request
from nim.planning.plan_warm_up import warm_up_of
from nim.planning.read_host_facts import read_host_facts
from nim.planning.remove_untrusted_code_options import without_untrusted_code
from nim.redact import known_secrets, mask_value
from nim.selection.effective_options import EngineOptions
from nim.selection.select import Selection
from nim.settings import Settings
from nim.value_origins import Origin, Value

# Options that name a file, which may lie beside the weights.
FILES_BESIDE = ("chat_template", "tool_parser_plugin", "reasoning_parser_plugin")


def decide(request: Request) -> tuple[Plan, Selection]:
    """Return (Plan of a start, Selection of its profile); NimError for everything known to fail."""
    settings, table = request.settings, load_options()
    request, blank = without_blank_variables(request, table)
    written = read_written(request, table)
    engine = None if request.other_machine else find_engine()
    host = read_host_facts(settings, request.environ)
    wish, places = located_model(settings, written, host)
    candidates = find_candidates(request, wish, written, host, engine)
    selection = choose(request, wish, candidates)
    source = source_of(wish, candidates.manifest, selection.profile, places)
    from_files = file_layers(selection, source, table, settings)
    name = candidates.manifest.name or source.name
    own = own_entries(request, host, source, name, selection, written)
    resolved = resolve_all(request, (*own, *from_files.entries), written, host)
    config, left_out = without_untrusted_code(resolved)
    local, judged = judge_model(request, source, wish.place, config, candidates.files.model)
    config = beside_the_model(config, source, request)
    model = model_to_check(candidates, source, selection, config)
    config, plugged = add_plugins(config, settings, model.manifest.model, model.facts, host)
    checked = (*plugged, *check_options(config, table, model, request), *unread_variables(config, table))
    adapters, agent, more = plan_beside(request, host, config, table, model, name)
    decided = Decided(
        settings=settings,
        host=host,
        model=model_of(model, config, selection),
        weights=place_of_weights(source, host.cache_dir),
        selection=selection,
        config=config,
        command=engine_command(engine.command if engine else ("vllm", "serve"), settings.engine_command),
        engine_version=engine.version if engine else table.version,
        table=table,
        manifest=published(model.manifest, selection.profile),
        machine=name_machine(request.hardware, selection.devices),
        download=download_for(request, source, config, places, selection),
        adapters=adapters,
        read_ahead=read_ahead_of(local, config, selection, request.hardware) if settings.read_ahead else None,
        warm_up=warm_up_of(settings, config, name),
        agent=agent,
        unset=(*service_links(request.environ), *blank),
        verbatim=written.verbatim,
        warnings=(*written.warnings, *from_files.warnings, *left_out, *judged, *checked, *more),
        secrets=known_secrets(request.environ, request.arguments),
    )
    return assemble(decided), selection


def plan_beside(
    request: Request,
    host: HostFacts,
    config: Mapping[str, Value],
    table: OptionTable,
    model: CheckedModel,
    name: str,
) -> tuple[AdapterPlan | None, AgentPlan | None, tuple[str, ...]]:
    """Return (adapters, agent, warnings about them and this machine); SettingsError if one cannot work."""
    adapters, about_adapters = plan_adapters(request, config, table, model, host.cache_dir)
    agent, about_agent = plan_agent(request.settings, config, name)
    here = () if request.other_machine else host.warnings
    return adapters, agent, (*here, *about_adapters, *about_agent)


def model_to_check(
    candidates: Candidates, source: Source, selection: Selection, config: Mapping[str, Value]
) -> CheckedModel:
    """Return the CheckedModel: manifest, source, facts with the overrides in `config`, and the first GPU."""
    facts = with_overrides(candidates.facts.get(selection.profile.source), config)
    gpu = next(iter(selection.devices), None)
    return CheckedModel(manifest=candidates.manifest, source=source, facts=facts, gpu=gpu)


def located_model(settings: Settings, written: Written, host: HostFacts) -> tuple[ModelWish, ModelPlaces]:
    """Return (the requested model with its place in the cache, where such models are kept)."""
    places = model_places(settings, host.cache_dir)
    return located_wish(wished_model(settings, written.model, written.model_place), places), places


def without_blank_variables(request: Request, table: OptionTable) -> tuple[Request, tuple[str, ...]]:
    """Return (request without blank variables the engine would refuse, their names)."""
    blank = blank_variables(request.environ, table)
    kept = {name: value for name, value in request.environ.items() if name not in blank}
    return replace(request, environ=kept), blank


def published(manifest: Manifest, profile: Profile) -> str:
    """Return the manifest as JSON text with secrets masked, as /v1/manifest shows it."""
    return json.dumps(mask_value("", manifest_to_json(manifest, profile)), ensure_ascii=False)


def resolve_all(
    request: Request, weaker: Sequence[Entry], written: Written, host: HostFacts
) -> dict[str, Value]:
    """Return option → Value, resolved over all layers; `weaker` are those below the user's."""
    below = (*default_entries(), *weaker)
    own = environment_entries(request.environ, below, service_links(request.environ))
    return resolve((*below, *home_entries(host), *own, *written.entries))


def with_overrides(facts: ModelFacts | None, config: Mapping[str, Value]) -> ModelFacts | None:
    """Return the ModelFacts with --hf-overrides applied; unchanged without; None for None."""
    overrides = config["hf_overrides"].value if "hf_overrides" in config else None
    return facts_of(facts.config, overrides) if facts and isinstance(overrides, Mapping) else facts


def source_of(wish: ModelWish, manifest: Manifest, profile: Profile, places: ModelPlaces) -> Source:
    """Return the Source of the weights, with an absolute path: the user's, else the profile's."""
    if wish.source:
        source = wish.source
    else:
        text = profile.source or ""
        path = local_path(manifest, text)
        source = Source(path=path) if path else read_source(text, f"the manifest of {manifest.name}")
        source = located(source, places)
    if source.path:
        return replace(source, path=str(Path(source.path).absolute()))
    return source


def own_entries(
    request: Request, host: HostFacts, source: Source, name: str, selection: Selection, written: Written
) -> Iterator[Entry]:
    """Yield Entries that follow from the model, called `name`, from settings and from the machine."""
    yield from derived_entries(host, source, name, request.settings.log_level, selection)
    yield from machine_entries(request, host, selection, written)
    yield from ngram_entries(request.settings, selection.profile)


def machine_entries(
    request: Request, host: HostFacts, selection: Selection, written: Written
) -> Iterator[Entry]:
    """Yield Entries that follow from the machine: addresses, devices, CPU memory, directories."""
    yield from address_entries(host, request.settings.server_port, request.settings.backend_port)
    yield from kv_event_entries(request.settings.kv_events_port)
    yield from device_entries(selection)
    said = [*request.environ, *(entry.name for entry in written.entries)]
    yield from loopback_entries(said)
    yield from cpu_memory_entries(selection, request.hardware, said)
    yield from cpu_compile_entries(selection, can_compile=host.can_compile or request.other_machine)
    yield from place_entries(host)


def beside_the_model(config: dict[str, Value], source: Source, request: Request) -> dict[str, Value]:
    """Return `config`, changed in place: template and plugin files as full paths; or SettingsError.

    SettingsError for one that is nowhere, unless the machine is made up.
    """
    for name in FILES_BESIDE if source.path else ():
        value = config.get(name)
        found = find_beside(Path(source.path or ""), str(value.value)) if value else None
        if value and found:
            place = f"{value.origin.place}, found in the model's directory"
            origin = Origin(layer=value.origin.layer, place=place)
            config[name] = Value(value=found, origin=origin, previous=(value, *value.previous))
    if not request.other_machine:
        refuse_missing_files(config, source)
    return config


def refuse_missing_files(config: Mapping[str, Value], source: Source) -> None:
    """Raise SettingsError if a template or plugin file named in `config` does not exist."""
    for name in FILES_BESIDE:
        text = str(config[name].value) if name in config else ""
        if text and not set(text) & set("{}\n") and not Path(text).is_file():
            looked = [text, *([str(Path(source.path) / text)] if source.path else [])]
            raise SettingsError(
                f'cannot find the file "{text}" for --{name.replace("_", "-")} '
                f"({config[name].origin.place}): looked for {' and '.join(dict.fromkeys(looked))}",
                hint="an absolute path, or the name of a file in the model's directory",
            )


def download_for(
    request: Request, source: Source, config: Mapping[str, Value], places: ModelPlaces, selection: Selection
) -> Download | None:
    """Return the Download of a start: the service's, or the engine's; None if there is none."""
    size = selection.profile.download_gb
    if source.remote:
        allowed = not request.settings.disable_model_download
        return remote_download(source, config, places, size) if allowed else None
    return download_of(source, config, request.environ, size)


def refuse_missing_engine(settings: Settings) -> None:
    """Raise PreflightError if vLLM is not installed and NIM_ENGINE_COMMAND is not set."""
    if settings.engine_command is None and find_engine() is None:
        raise PreflightError(
            "cannot start the engine: vLLM is not installed in this Python",
            hint="make setup, or pip install 'nim[gpu]' ('nim[cpu]' without an NVIDIA GPU)",
        )


def model_of(checked: CheckedModel, config: Mapping[str, Value], selection: Selection) -> Model:
    """Return the plan's Model: names, source, license and context (None if the engine fits it to memory)."""
    manifest, source = checked.manifest, checked.source
    runner = config["runner"].value if "runner" in config else None
    license_ = manifest.model.license if manifest.model else None
    context = EngineOptions(values=config)
    derived = None if context.fits_context else selection.estimate.max_model_len
    file = local_path(manifest, license_.file) if license_ and license_.file else None
    return Model(
        name=manifest.name or source.name,
        served_names=tuple(config["served_model_name"].value),
        source=source.uri,
        path=source.path,
        license_file=file,
        license_name=license_.name if license_ else None,
        max_model_len=context.context or derived,
        tasks=served_tasks(checked.facts, runner),
    )
