"""Environment, arguments and a machine → a plan: the rooms in their order, one step each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nim import paths
from nim.engine import (
    InstalledEngine,
    OptionTable,
    ParsedArguments,
    check_named_values,
    check_values,
    check_variables,
    find_engine,
    load_catalog,
    load_options,
    parse_arguments,
    service_links,
    tokenize,
)
from nim.errors import PreflightError, SettingsError
from nim.hardware import Hardware
from nim.hardware.describe import name_machine
from nim.manifest import (
    Manifest,
    Profile,
    find_manifest,
    load_manifest,
    local_path,
    manifest_to_json,
)
from nim.manifest.facts import find_beside, read_model_config, read_runtime_config, weights_bytes
from nim.models.download import download_of
from nim.models.generic_manifest import manifest_for_model
from nim.models.source import ModelWish, Source, read_source, wished_model
from nim.options.cache_dirs import home_entries, place_entries
from nim.options.cpu_defaults import cpu_entries
from nim.options.derive import (
    Surroundings,
    address_entries,
    default_entries,
    derived_entries,
    device_entries,
)
from nim.options.engine_command import engine_command
from nim.options.layers import (
    Entry,
    checked_settings,
    entries,
    environment_entries,
    profile_entries,
)
from nim.options.resolve import resolve
from nim.plan import Model, Plan
from nim.planning.assemble import Decided, assemble
from nim.planning.host_facts import look_around
from nim.selection.fit import Wishes
from nim.selection.select import Selection, select
from nim.settings import Settings
from nim.values import Layer, Origin, Value

# Options that name a file, which may lie beside the weights.
FILES_BESIDE = ("chat_template", "tool_parser_plugin", "reasoning_parser_plugin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a verb was asked. `made_up` says that the machine is not this one, so no engine is looked for."""

    settings: Settings
    environ: Mapping[str, str]
    hardware: Hardware
    arguments: tuple[str, ...] = ()
    made_up: bool = False


def decide(request: Request) -> tuple[Plan, Selection]:
    """The plan of a start, and how its profile was chosen."""
    settings = request.settings
    table = load_options()
    written = read_written(request, table)
    wish = wished_model(settings, written.model)
    engine = None if request.made_up else find_engine()
    wishes = wishes_of(settings, written.entries, engine, request)
    manifest = read_manifest_for(wish, wishes)
    selection = select(manifest, request.hardware, wishes)
    source = source_of(wish, manifest, selection.profile)
    around = look_around(settings, request.environ)
    name = manifest.name or source.name
    weaker = (
        *default_entries(),
        *derived_entries(around, source, name, settings.log_level, selection),
        *machine_entries(request, around, selection, written),
        *chosen_entries(selection),
        *runtime_config_entries(source, table, settings),
    )
    strays = service_links(request.environ)
    own = environment_entries(request.environ, weaker, strays)
    config = beside_the_model(resolve((*weaker, *home_entries(around), *own, *written.entries)), source)
    unknown = check_named_values(config, load_catalog(table.version), strict=settings.strict_args)
    if not request.made_up:
        refuse_missing_files(config, source)
    decided = Decided(
        settings=settings,
        around=around,
        model=model_of(manifest, source, config),
        weights=source.path or source.repository or "",
        selection=selection,
        config=config,
        command=engine_command(engine.command if engine else ("vllm", "serve"), settings.engine_command),
        engine_version=engine.version if engine else table.version,
        table=table,
        manifest=json.dumps(manifest_to_json(manifest, selection.profile), ensure_ascii=False),
        machine=name_machine(request.hardware, selection.devices),
        download=download_of(source, config, request.environ, selection.profile.download_gb),
        unset=strays,
        verbatim=written.verbatim,
        warnings=(*written.warnings, *unknown),
    )
    return assemble(decided), selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a person wrote: variables, passthrough and command line, with the model if it was named there."""

    entries: tuple[Entry, ...]
    model: str | None
    verbatim: tuple[str, ...]
    warnings: tuple[str, ...]


def read_written(request: Request, table: OptionTable) -> Written:
    """The three strongest layers."""
    settings = request.settings
    passthrough = tokenize(settings.passthrough_args or "", place="NIM_PASSTHROUGH_ARGS")
    parsed = [
        (
            Layer.PASSTHROUGH,
            "NIM_PASSTHROUGH_ARGS",
            _parse(passthrough, "NIM_PASSTHROUGH_ARGS", settings, table),
        ),
        (Layer.CLI, "the command line", _parse(request.arguments, "the command line", settings, table)),
    ]
    own, warnings = checked_settings(settings, table)
    for layer, place, arguments in parsed:
        own += entries(layer, place, arguments.values)
        warnings += arguments.warnings
    warnings += check_variables(request.environ, table)
    models = [arguments.model_tag for _, _, arguments in parsed if arguments.model_tag]
    verbatim = [word for _, _, arguments in parsed for word in arguments.rest]
    return Written(
        entries=tuple(own),
        model=models[-1] if models else None,
        verbatim=tuple(verbatim),
        warnings=tuple(warnings),
    )


def read_manifest_for(wish: ModelWish, wishes: Wishes) -> Manifest:
    """The manifest that is asked for; for a model without one, a manifest made of what its files say."""
    if wish.manifest_file:
        return load_manifest(Path(wish.manifest_file))
    if wish.is_default and paths.IMAGE_MANIFEST.exists():
        return load_manifest(paths.IMAGE_MANIFEST.resolve())
    if wish.manifest_name:
        return find_manifest(wish.manifest_name, paths.PROFILES)
    assert wish.source is not None
    directory = Path(wish.source.path) if wish.source.path else None
    return manifest_for_model(
        str(directory.absolute()) if directory else wish.source.uri,
        read_model_config(directory, wish.place) if directory else None,
        name=wish.source.name,
        weights_bytes=weights_bytes(directory) if directory else None,
        tensor_parallel_size=wishes.tensor_parallel_size,
        pipeline_parallel_size=wishes.pipeline_parallel_size,
    )


def source_of(wish: ModelWish, manifest: Manifest, profile: Profile) -> Source:
    """Where the weights are: where the user says they lie, else where the profile says."""
    if wish.source:
        source = wish.source
    else:
        text = profile.source or ""
        path = local_path(manifest, text)
        source = Source(path=path) if path else read_source(text, f"the manifest of {manifest.name}")
    if source.path:
        source = replace(source, path=str(Path(source.path).absolute()))
        read_model_config(Path(source.path or ""), wish.place)
    return source


def machine_entries(
    request: Request, around: Surroundings, selection: Selection, written: Written
) -> Iterator[Entry]:
    """What follows from where it runs: addresses, devices, a CPU's memory, places that can be written."""
    yield from address_entries(around, request.settings.server_port, request.settings.backend_port)
    yield from device_entries(selection)
    said = [*request.environ, *(entry.name for entry in written.entries)]
    can_compile = around.can_compile or request.made_up
    yield from cpu_entries(selection, request.hardware, said, can_compile=can_compile)
    yield from place_entries(around)


def chosen_entries(selection: Selection) -> Iterator[Entry]:
    """What the chosen profile brings along."""
    engine, label = selection.profile.engine, selection.chosen.label
    return profile_entries(label, selection.profile.tags, engine.args, engine.env)


def runtime_config_entries(source: Source, table: OptionTable, settings: Settings) -> Iterator[Entry]:
    """What the model's own `runtime_config.json` says; its flags are weaker than its options."""
    if source.path is None:
        return
    config = read_runtime_config(Path(source.path))
    place = f"{config.place}, NIM_PASSTHROUGH_ARGS"
    flags = _parse(tokenize(config.passthrough, place=place), place, settings, table)
    yield from entries(Layer.RUNTIME_CONFIG, place, flags.values)
    options = check_values(config.options, table, place=config.place, strict=settings.strict_args)
    yield from entries(Layer.RUNTIME_CONFIG, config.place, options.values)


def beside_the_model(config: dict[str, Value], source: Source) -> dict[str, Value]:
    """Templates and plugins may be named as they are called in the model's own directory."""
    for name in FILES_BESIDE if source.path else ():
        value = config.get(name)
        found = find_beside(Path(source.path or ""), str(value.value)) if value else None
        if value and found:
            place = f"{value.origin.place}, found in the model's directory"
            origin = Origin(layer=value.origin.layer, place=place)
            config[name] = Value(value=found, origin=origin, previous=(value, *value.previous))
    return config


def refuse_missing_files(config: Mapping[str, Value], source: Source) -> None:
    """The engine would find out after half a minute. A template may also be given as its own text."""
    for name in FILES_BESIDE:
        text = str(config[name].value) if name in config else ""
        if text and not set(text) & set("{}\n") and not Path(text).is_file():
            looked = [text, *([str(Path(source.path) / text)] if source.path else [])]
            raise SettingsError(
                f'cannot find the file "{text}" for --{name.replace("_", "-")} '
                f"({config[name].origin.place}): looked for {' and '.join(dict.fromkeys(looked))}",
                hint="an absolute path, or the name of a file in the model's directory",
            )


def wishes_of(
    settings: Settings, written: Sequence[Entry], engine: InstalledEngine | None, request: Request
) -> Wishes:
    """What a person asked for that bears on the choice of a profile, wherever they wrote it."""
    said = {name: value.value for name, value in resolve(written).items()}
    return Wishes(
        profile=settings.model_profile,
        tags_selector=settings.tags_selector,
        lora=bool(said.get("enable_lora", False)),
        max_model_len=said.get("max_model_len"),
        gpu_memory_utilization=said.get("gpu_memory_utilization"),
        tensor_parallel_size=said.get("tensor_parallel_size"),
        pipeline_parallel_size=said.get("pipeline_parallel_size"),
        nodes=said.get("nnodes") or 1,
        allow_nvfp4_emulation=settings.allow_nvfp4_emulation,
        engine_build=None if request.made_up or engine is None else engine.build,
    )


def refuse_missing_engine(settings: Settings) -> None:
    """Without vLLM nothing can be served, and that is known before anything starts."""
    if settings.engine_command is None and find_engine() is None:
        raise PreflightError(
            "cannot start the engine: vLLM is not installed in this Python",
            hint="make setup, or pip install 'nim[gpu]' ('nim[cpu]' without an NVIDIA GPU)",
        )


def model_of(manifest: Manifest, source: Source, config: Mapping[str, Value]) -> Model:
    """What is served, under which names."""
    license_ = manifest.model.license if manifest.model else None
    context = config.get("max_model_len")
    file = local_path(manifest, license_.file) if license_ and license_.file else None
    return Model(
        name=manifest.name or source.name,
        served_names=tuple(config["served_model_name"].value),
        source=source.uri if source.repository else (source.path or ""),
        path=source.path,
        license_file=file,
        license_name=license_.name if license_ else None,
        max_model_len=context.value
        if context
        else (manifest.model.max_model_len if manifest.model else None),
    )


def _parse(tokens: Sequence[str], place: str, settings: Settings, table: OptionTable) -> ParsedArguments:
    return parse_arguments(tokens, table, place=place, strict=settings.strict_args)
