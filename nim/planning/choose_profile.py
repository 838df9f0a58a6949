"""Find the profiles to choose from and the user's requirements, and choose one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nim import data_paths
from nim.engine import InstalledEngine, load_options, service_links
from nim.frozen_dataclass import frozen_dataclass
from nim.manifest import Manifest, find_manifest, load_manifest
from nim.models.facts import ModelFacts
from nim.models.generic_manifest import manifest_for_model
from nim.models.remote.locate_source import model_places
from nim.models.requested_model import HUB, ModelWish
from nim.options.derived_options import HostFacts, cache_entries
from nim.options.option_layers import Entry, environment_entries
from nim.options.resolve_layers import resolve
from nim.planning.find_local_model_files import KnownFiles, judge_model, known_files, probe_hub_cache
from nim.planning.option_layers.read_layers_from_files import runtime_config_entries
from nim.planning.option_layers.read_layers_from_user import Written
from nim.planning.plan_request import Request
from nim.planning.read_model_facts import facts_by_source, read_facts, read_facts_in
from nim.selection.effective_options import EngineOptions
from nim.selection.explain_rejected_profiles import NoProfileFits
from nim.selection.fit_types import Wishes
from nim.selection.lora_support import takes_adapters
from nim.selection.memory.estimate_inputs import DraftModel
from nim.selection.select import Facts, Selection, select
from nim.value_origins import Value


@frozen_dataclass
class Candidates:
    """The profiles to choose from, the user's requirements, and the facts of the models they serve."""

    manifest: Manifest
    wishes: Wishes
    facts: Facts
    files: KnownFiles


def find_candidates(
    request: Request,
    wish: ModelWish,
    written: Written,
    host: HostFacts,
    engine: InstalledEngine | None,
) -> Candidates:
    """Return the Candidates: manifest, user's requirements and facts read from local model files."""
    said = said_entries(request, written, wish)
    cache = tuple(cache_entries(host))
    own = environment_entries(request.environ, cache, service_links(request.environ))
    values = resolve((*cache, *own, *said))
    wishes = wishes_of(request, said, engine)
    if wish.source and wish.source.repository:
        probe_hub_cache(request, values)
    files = known_files(request, wish, values)
    named = read_facts(wish.source, values, request.environ) if wish.source else None
    manifest = read_manifest_for(wish, wishes, files, named)
    if not wish.source and any((profile.source or "").startswith(HUB) for profile in manifest.profiles):
        probe_hub_cache(request, values)
    # Files that a person names are those of every profile.
    facts: Facts = (
        {profile.source: named for profile in manifest.profiles if named}
        if wish.source
        else facts_by_source(
            manifest, values, request.environ, model_places(request.settings, host.cache_dir)
        )
    )
    return Candidates(manifest=manifest, wishes=wishes, facts=facts, files=files)


def read_manifest_for(
    wish: ModelWish, wishes: Wishes, files: KnownFiles, facts: ModelFacts | None = None
) -> Manifest:
    """Return the requested Manifest, read from a file, or a generic one for a model without one."""
    if wish.manifest_file:
        return load_manifest(Path(wish.manifest_file))
    if wish.is_default and data_paths.IMAGE_MANIFEST.exists():
        return load_manifest(data_paths.IMAGE_MANIFEST.resolve())
    if wish.manifest_name:
        return find_manifest(wish.manifest_name, data_paths.PROFILES)
    assert wish.source is not None
    return manifest_for_model(
        wish.source.uri if wish.source.uri != wish.source.path else str(Path(wish.source.path).absolute()),
        facts,
        name=wish.source.name,
        weights_bytes=files.weights_bytes,
        tensor_parallel_size=wishes.size("tensor_parallel_size"),
        pipeline_parallel_size=wishes.size("pipeline_parallel_size"),
        adapters=takes_adapters(facts, EngineOptions(values=wishes.options)),
    )


def choose(request: Request, wish: ModelWish, candidates: Candidates) -> Selection:
    """Return the Selection of one profile; NoProfileFits, or WeightsError for files nothing can load."""
    try:
        return select(candidates.manifest, request.hardware, candidates.wishes, candidates.facts)
    except NoProfileFits:
        files = candidates.files
        if wish.source and files.model:
            judge_model(request, wish.source, wish.place, files.values, files.model)
        raise


def said_entries(request: Request, written: Written, wish: ModelWish) -> tuple[Entry, ...]:
    """Return a tuple of the Entries of all layers above the profile; reads runtime_config.json from disk."""
    source = wish.source if wish.source and wish.source.path else None
    beside = runtime_config_entries(source, load_options(), request.settings).entries if source else ()
    own = environment_entries(request.environ, (), service_links(request.environ))
    return (*beside, *own, *written.entries)


def draft_of(options: Mapping[str, Value]) -> DraftModel | None:
    """Return the draft model, read from its directory; None if there is none here."""
    value = options["speculative_config"].value if "speculative_config" in options else None
    directory = Path(str(value.get("model") or "")) if isinstance(value, Mapping) else None
    if directory is None or not directory.is_absolute() or not directory.is_dir():
        return None
    weights = [*directory.glob("*.safetensors")] or [*directory.glob("*.bin")]
    facts = read_facts_in(directory)
    return DraftModel(
        weights_bytes=sum(file.stat().st_size for file in weights), reading=facts.reading if facts else None
    )


def wishes_of(request: Request, said: Sequence[Entry], engine: InstalledEngine | None) -> Wishes:
    """Return the user's requirements on the profile as Wishes, from settings and option entries."""
    settings, options = request.settings, resolve(said)
    return Wishes(
        profile=settings.model_profile,
        tags_selector=settings.tags_selector,
        options=options,
        allow_nvfp4_emulation=settings.allow_nvfp4_emulation,
        speculates=bool(settings.specdec_enable) and settings.draft_model_path is None,
        draft=draft_of(options),
        engine_build=None if request.other_machine or engine is None else engine.build,
    )
