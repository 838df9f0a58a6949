"""Checks of the resolved options against each other, against adapters on disk and against the environment."""

from collections.abc import Collection, Mapping

from nim.engine import OptionTable, check_named_values, check_variable_values, load_catalog
from nim.engine.arguments.argument_error_messages import refuse_all
from nim.frozen_dataclass import frozen_dataclass
from nim.hardware import Gpu
from nim.manifest import Manifest
from nim.models.config.detect_task_and_modalities import modalities
from nim.models.config.warn_implausible_sizes import odd_sizes
from nim.models.facts import ModelFacts
from nim.models.hub.check_connection_variables import check_timeouts, hub_problems
from nim.models.read_lora_adapters import read_adapters
from nim.models.requested_model import Source
from nim.options.features.resolve_plugins import guards_media
from nim.options.rules.check_lora_adapters import check_adapters
from nim.options.rules.check_option_combinations import check_combinations
from nim.options.rules.rule_types import Said
from nim.planning.checks.find_missing_option_paths import absent_paths, missing_paths
from nim.planning.plan_request import Request
from nim.value_origins import Value

_WITHOUT = "without it the engine does not start"


@frozen_dataclass
class CheckedModel:
    """The model that the options apply to. `facts` is None if its files are not on this machine.

    `gpu` is the first of those that serve it; None on the CPU.
    """

    manifest: Manifest
    source: Source
    facts: ModelFacts | None
    gpu: Gpu | None = None


def check_options(
    config: Mapping[str, Value], table: OptionTable, model: CheckedModel, request: Request
) -> tuple[str, ...]:
    """Return warnings about resolved options; SettingsError for those that the engine will refuse."""
    check_timeouts(request.environ)
    strict = request.settings.strict_args
    experts = _experts(model.facts) if model.facts else None
    said = Said(config=config, table=table, experts=experts, model=model.facts, gpu=model.gpu)
    return (
        *check_variable_values(config, table, strict=strict),
        *check_named_values(config, load_catalog(table.version), strict=strict),
        *check_combinations(said, strict=strict),
        *_adapter_warnings(said, model, other_machine=request.other_machine, strict=strict),
        *_path_warnings(said, other_machine=request.other_machine, strict=strict),
        *hub_warnings(model.source, config, request.environ),
        *_open_service(config),
        *(odd_sizes(model.facts.config) if model.facts else ()),
        *(media_warnings(said, modalities(model.facts.config)) if model.facts else ()),
    )


def media_warnings(said: Said, inputs: Collection[str]) -> tuple[str, ...]:
    """Return one warning if requests may have the engine fetch media from any host; () otherwise.

    `inputs`: what the model takes, such as "text" and "image".
    """
    media = [kind for kind in inputs if kind != "text" and said.item("limit_mm_per_prompt", kind) != 0]
    guarded = said.get("allowed_media_domains") or guards_media(said.config)
    if not media or guarded or said.get("language_model_only"):
        return ()
    what = f"a request may have the engine fetch {' and '.join(media)} data from any address that it reaches"
    return (f"{what}, private ones included; NIM_ALLOWED_MEDIA_DOMAINS=HOST,… names those that are allowed",)


def _adapter_warnings(
    said: Said, model: CheckedModel, *, other_machine: bool, strict: bool
) -> tuple[str, ...]:
    """Read the LoRA adapters' files; return warnings, or raise SettingsError for unusable ones."""
    modules = said.get("lora_modules")
    if not isinstance(modules, list) or not modules:
        return ()
    # The files of a made-up machine are not those of this one.
    found = read_adapters(modules)
    absent = [one for one in found if other_machine and one.is_missing]
    adapters = [one for one in found if one not in absent]
    notes = (f"the adapter {one.name} '{one.path}' is not on this machine: {_WITHOUT}" for one in absent)
    return (*check_adapters(said, adapters, model_names(model), strict=strict), *notes)


def _path_warnings(said: Said, *, other_machine: bool, strict: bool) -> tuple[str, ...]:
    """Return warnings of missing paths; if `strict`, SettingsError for needed ones of this machine."""
    missing = tuple(missing_paths(said))
    if missing and strict and not other_machine:
        raise refuse_all([one.refusal for one in missing], "the options")
    notes = (f"{one.what}: {one.fault} on this machine; {_WITHOUT}" for one in missing)
    return (*notes, *absent_paths(said))


def _experts(facts: ModelFacts) -> int | None:
    """Return the number of routed experts; 0 for a dense model, None if it differs by layer."""
    if facts.reading.experts:
        return facts.reading.experts.count
    return None if facts.config.get("block_configs") else 0


def model_names(model: CheckedModel) -> tuple[str, ...]:
    """Return the model's known names as a tuple: repository, manifest's name, name in config.json."""
    manifest = model.manifest
    known = [model.source.repository or "", (manifest.name or "") if manifest.model else ""]
    if model.facts:
        known.append(str(model.facts.config.root.values.get("_name_or_path") or ""))
    return tuple(name for name in known if name)


def hub_warnings(source: Source, config: Mapping[str, Value], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return warnings about variables that prevent a download from the hub; no network access."""
    said = config.get("HF_HUB_OFFLINE")
    offline = str(said.value) if said else environ.get("HF_HUB_OFFLINE", "")
    if source.repository is None or offline.upper() in ("1", "TRUE", "YES", "ON"):
        return ()
    return tuple(f"{one.message}; hint: {one.hint}" for one in hub_problems(environ))


def _open_service(config: Mapping[str, Value]) -> tuple[str, ...]:
    """Return one warning if VLLM_API_KEY is set and empty; () otherwise."""
    key = config.get("VLLM_API_KEY")
    return () if key is None or key.value else ("VLLM_API_KEY is empty: requests need no key",)
