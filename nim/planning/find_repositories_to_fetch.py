"""Find the hub repositories that a start would download a model from, for `nim fetch` and `nim store`."""

from collections.abc import Mapping
from dataclasses import replace

from nim.engine import find_engine, load_options
from nim.frozen_dataclass import frozen_dataclass
from nim.manifest import Manifest, Profile
from nim.models.checkpoint.findings import Fault, refuse
from nim.models.hub.repositories_to_download import wanted_of
from nim.models.remote.locate_source import located_wish, model_places, remote_model
from nim.models.requested_model import COMMAND_LINE, ModelWish, Source, wished_model
from nim.options.derived_options import cache_entries, default_entries, revision_entries
from nim.options.option_layers import environment_entries, profile_entries
from nim.options.resolve_layers import resolve
from nim.plan import RemoteModel, Wanted
from nim.planning.choose_profile import find_candidates
from nim.planning.find_local_model_files import read_source
from nim.planning.option_layers.read_layers_from_user import Written, read_written
from nim.planning.plan_request import Request
from nim.planning.planner import source_of
from nim.planning.read_host_facts import read_host_facts
from nim.selection.find_named_profile import PROFILE_VARIABLE, find_asked, parse_tags, with_variants
from nim.selection.select import select
from nim.value_origins import Value


@frozen_dataclass
class Choice:
    """Which profiles to fetch: the named ones, all, or the one that would be chosen on this machine."""

    names: tuple[str, ...] = ()
    every: bool = False
    model: str | None = None
    model_option: str = COMMAND_LINE


@frozen_dataclass
class Sources:
    """Repositories to fetch, each with its size in GB from the manifest (None if unknown).

    `remotes` are models that the service itself fetches. `env` is what the hub's client is to find in its
    environment, as the engine's would.
    """

    manifest: Manifest
    wanted: Mapping[Wanted, float | None]
    remotes: Mapping[RemoteModel, float | None]
    directories: tuple[str, ...]
    env: Mapping[str, str]
    warnings: tuple[str, ...]


def find_sources(request: Request, choice: Choice) -> Sources:
    """Return the Sources (hub repositories, directories) of the chosen profiles; downloads nothing."""
    finder = _Finder(request, choice)
    wanted: dict[Wanted, float | None] = {}
    remotes: dict[RemoteModel, float | None] = {}
    directories: dict[str, None] = {}
    env: dict[str, str] = {}
    for profile in finder.profiles(choice):
        source, config = finder.source(profile), finder.config(profile)
        found = wanted_of(source, config, request.environ)
        own = source.repository
        wanted |= {
            one: profile.download_gb if one.repository == own else None for one in found if one not in wanted
        }
        if remote := remote_model(source, config, finder.places):
            remotes.setdefault(remote, profile.download_gb)
        elif source.path and source.path not in directories:
            finder.refuse_incomplete(source, config)
            directories[source.path] = None
        env |= {name: str(value.value) for name, value in config.items() if name.startswith("HF_")}
    return Sources(
        manifest=finder.manifest,
        wanted=wanted,
        remotes=remotes,
        directories=tuple(directories),
        env=env,
        warnings=(*request.settings.warnings, *finder.written.warnings),
    )


class _Finder:
    """Finds the sources of profiles; reads manifest, options and hardware once."""

    def __init__(self, request: Request, choice: Choice) -> None:
        self._request = request
        self._table = load_options()
        self.written: Written = read_written(request, self._table)
        wish = wished_model(
            request.settings,
            choice.model or self.written.model,
            choice.model_option if choice.model else self.written.model_place,
        )
        engine = None if request.other_machine else find_engine()
        self._around = read_host_facts(request.settings, request.environ)
        self.places = model_places(request.settings, self._around.cache_dir)
        self._wish: ModelWish = located_wish(wish, self.places)
        found = find_candidates(request, self._wish, self.written, self._around, engine)
        self.manifest, self._wishes, self._facts = found.manifest, found.wishes, found.facts
        self._files = found.files

    def profiles(self, choice: Choice) -> tuple[Profile, ...]:
        """Return the profiles that `choice` names, or all, or the one for this machine."""
        if choice.every:
            return self.manifest.profiles
        if choice.names:
            return tuple(self._profile(name, "-p") for name in choice.names)
        return (self._profile(self._wishes.profile, PROFILE_VARIABLE),)

    def source(self, profile: Profile) -> Source:
        """Return the Source of a profile's weights."""
        return source_of(self._wish, self.manifest, profile, self.places)

    def config(self, profile: Profile) -> dict[str, Value]:
        """Return option → Value, resolved as far as it does not depend on the machine."""
        environ, settings = self._request.environ, self._request.settings
        engine = profile.engine
        weaker = (
            *default_entries(),
            *revision_entries(self.source(profile)),
            *cache_entries(self._around),
            *profile_entries(
                profile.label, profile.tags, engine.args, engine.env, self._table, strict=settings.strict_args
            ).entries,
        )
        return resolve((*weaker, *environment_entries(environ, weaker, ()), *self.written.entries))

    def refuse_incomplete(self, source: Source, config: Mapping[str, Value]) -> None:
        """Raise WeightsError if a local model directory lacks files the engine needs."""
        model = read_source(self._request, source, self._wish.place, config)
        refuse(model.findings if model else (), *Fault)

    def _profile(self, name: str | None, place: str) -> Profile:
        """Return the named Profile; for None or default, the one selected for this hardware."""
        tags = parse_tags(self._wishes.tags_selector, self.manifest)
        asked = find_asked(self.manifest, name, tags, place)
        if asked.profile:
            return with_variants(self.manifest, asked.profile, asked.variants)
        first, *others = (with_variants(self.manifest, one, asked.variants) for one in self.manifest.profiles)
        if all(self._needs(one) == self._needs(first) for one in others):
            return first
        wishes = replace(self._wishes, profile=name)
        return select(self.manifest, self._request.hardware, wishes, self._facts).profile

    def _needs(self, profile: Profile) -> tuple[Source, tuple[Wanted, ...]]:
        """Return (Source, repositories to download) of a profile, to compare profiles."""
        source = self.source(profile)
        return source, wanted_of(source, self.config(profile), self._request.environ)
