"""Select the profile that this machine runs: deterministic; an error lists every reason if none fits."""

from collections.abc import Mapping, Sequence

from nim.frozen_dataclass import frozen_dataclass
from nim.hardware.types import Gpu, Hardware
from nim.manifest import Manifest, Profile
from nim.models.facts import ModelFacts, facts_of
from nim.plan import ChosenProfile, Refusal
from nim.selection.effective_options import EngineOptions, options_of
from nim.selection.explain_rejected_profiles import (
    NoProfileFits,
    no_profile_fits,
    refuse,
    refuse_all,
    why_first,
)
from nim.selection.find_named_profile import (
    PROFILE_VARIABLE,
    Asked,
    find_asked,
    parse_tags,
    with_speculation,
    with_variants,
)
from nim.selection.fit_types import Case, Fit, Kind, Miss, Wishes
from nim.selection.gpu_groups import Group, all_groups
from nim.selection.gpu_precision_support import fallback, served_dtype
from nim.selection.memory.choose_gpus import is_crowded
from nim.selection.memory.estimate import Estimate, estimate
from nim.selection.memory.estimate_inputs import Start
from nim.selection.memory.memory_fit import fit_memory
from nim.selection.parallel_sizes import parallel_of
from nim.selection.rank_profiles import sort_key
from nim.selection.unmet_requirements import misses

Facts = Mapping[str | None, ModelFacts]
"""What the models' own files say, by the source that a profile names."""


@frozen_dataclass
class Selection:
    """The chosen profile, with the options of the requested variants in its `engine`.

    `devices` are the GPUs to run on, in the user's order: none for a profile of the CPU.
    `utilization` is the share of each GPU to give the engine, where its default would not do.
    `fits` are all profiles as they were compared, in the order of their rank; `winner` is one of them.
    """

    chosen: ChosenProfile
    profile: Profile
    devices: tuple[Gpu, ...]
    estimate: Estimate
    utilization: float | None
    refused: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    winner: Fit
    fits: tuple[Fit, ...]
    hardware: Hardware
    wishes: Wishes
    asked: Asked


def select(manifest: Manifest, hardware: Hardware, wishes: Wishes, facts: Facts | None = None) -> Selection:
    """Return the Selection of one profile; ProfileError if none fits, or the requested one cannot run."""
    tags = parse_tags(wishes.tags_selector, manifest)
    asked = with_speculation(find_asked(manifest, wishes.profile, tags), manifest, wishes)
    fits = compare_all(manifest, hardware, wishes, asked, tags, facts)
    if asked.profile is not None:
        winner = _the_one_asked_for(fits, asked.profile, hardware)
        because = f"{PROFILE_VARIABLE} asks for it"
    else:
        winner, because = _the_best(fits, manifest, hardware)
    profile = winner.profile
    return Selection(
        chosen=ChosenProfile(id=profile.id, label=profile.label, tags=dict(profile.tags), because=because),
        profile=profile,
        devices=() if profile.on_cpu else winner.memory_fit.devices,
        estimate=winner.estimate,
        utilization=winner.memory_fit.utilization,
        refused=refuse_all([fit for fit in fits if fit is not winner], winner),
        warnings=_warnings(winner, hardware),
        winner=winner,
        fits=fits,
        hardware=hardware,
        wishes=wishes,
        asked=asked,
    )


def compare_all(
    manifest: Manifest,
    hardware: Hardware,
    wishes: Wishes,
    asked: Asked,
    tags: Mapping[str, str],
    facts: Facts | None = None,
) -> tuple[Fit, ...]:
    """Return a tuple of each profile's Fit on the GPU group that suits it best, in order of rank."""
    comparison = _Comparison(manifest, hardware, wishes, asked, tags, facts or {})
    fits = [comparison.best_fit(profile) for profile in manifest.profiles]
    return tuple(sorted(fits, key=sort_key))


class _Comparison:
    """Compares profiles with one machine and one set of requirements."""

    def __init__(
        self,
        manifest: Manifest,
        hardware: Hardware,
        wishes: Wishes,
        asked: Asked,
        tags: Mapping[str, str],
        facts: Facts,
    ) -> None:
        self._manifest, self._hardware, self._wishes = manifest, hardware, wishes
        self._asked, self._tags, self._facts = asked, tags, facts
        self._groups = all_groups(hardware)

    def best_fit(self, profile: Profile) -> Fit:
        """Return the Fit on the first group that holds the profile uncrowded; else the nearest."""
        profile = with_variants(self._manifest, profile, self._asked.variants)
        tried = []
        for group in self._groups:
            tried.append(_fit(self._case(profile, group)))
            if tried[-1].fits and not tried[-1].memory_fit.crowded:
                return tried[-1]
        return min(tried, key=lambda fit: fit.distance)

    def _case(self, profile: Profile, group: Group) -> Case:
        """Return the Case: all inputs of comparing a profile with a group of GPUs."""
        asked = self._asked.profile
        named = asked is not None and asked.id == profile.id
        options = options_of(profile, self._wishes.options)
        parallel = parallel_of(profile, options, own_sizes=not named)
        facts = self._facts_with(profile, options)
        reading = facts.reading if facts else None
        return Case(
            profile=profile,
            group=group,
            hardware=self._hardware,
            wishes=self._wishes,
            tags=self._tags,
            narrowed=asked is None,
            named=named,
            generic=self._manifest.is_generic,
            options=options,
            parallel=parallel,
            facts=facts,
            estimate=estimate(
                Start(
                    profile=profile,
                    options=options,
                    parallel=parallel,
                    model=self._manifest.model,
                    facts=facts,
                    gpu=group.smallest,
                    dtype=served_dtype(options, reading, group.smallest),
                    draft=self._wishes.draft,
                )
            ),
        )

    def _facts_with(self, profile: Profile, options: EngineOptions) -> ModelFacts | None:
        """Return the model's facts with --hf-overrides applied; None if unknown."""
        facts, overrides = self._facts.get(profile.source), options.get("hf_overrides")
        if facts is None or not isinstance(overrides, Mapping) or not overrides:
            return facts
        return facts_of(facts.config, overrides)


def _fit(case: Case) -> Fit:
    """Return the Fit of one Case: unmet requirements, memory, fallback."""
    found = tuple(misses(case))
    memory_fit = fit_memory(case)
    lacking = (memory_fit.miss,) if memory_fit.miss and (case.group.gpus or case.profile.on_cpu) else ()
    words = [words for gpu in memory_fit.devices if (words := fallback(case, gpu))]
    return Fit(
        profile=case.profile,
        group=case.group,
        options=case.options,
        parallel=case.parallel,
        estimate=case.estimate,
        misses=(*found, *lacking),
        memory_fit=memory_fit,
        fallback=words[0] if words else None,
    )


def order_fitting(fits: Sequence[Fit], hardware: Hardware) -> list[Fit]:
    """Return a list of the fits that run on the best GPU group with any, idle GPUs first; [] if none."""
    order = all_groups(hardware)

    def place(fit: Fit) -> tuple[bool, int]:
        """Return a fit's sort key (tuple): uncrowded first, then the order of its group."""
        return fit.memory_fit.crowded, order.index(fit.group)

    runnable = [fit for fit in fits if fit.fits]
    ranked = sorted(runnable, key=lambda fit: (place(fit), fit.memory_fit.busy, sort_key(fit)))
    return [fit for fit in ranked if place(fit) == place(ranked[0])]


def _the_best(fits: Sequence[Fit], manifest: Manifest, hardware: Hardware) -> tuple[Fit, str]:
    """Return (highest-ranked Fit, reason as text); NoProfileFits if none fits."""
    there = order_fitting(fits, hardware)
    if not there:
        raise no_profile_fits(fits, manifest, found_words(hardware))
    if len(there) == 1:
        return there[0], "it is the only one that fits"
    return there[0], f"first of the {len(there)} that fit: {why_first(there[0], there[1])}"


def _the_one_asked_for(fits: Sequence[Fit], asked: Profile, hardware: Hardware) -> Fit:
    """Return the named profile's Fit; NoProfileFits if the engine certainly refuses it."""
    fit = next(fit for fit in fits if fit.profile.id == asked.id)
    if not any(miss.certain for miss in fit.misses):
        return fit
    others = [other for other in fits if other.fits]
    hint = f"{PROFILE_VARIABLE}={others[0].profile.label}, which fits" if others else refuse(fit).change
    label = fit.profile.label
    message = (
        f"cannot run the profile '{label}' ({PROFILE_VARIABLE}) on this machine: {found_words(hardware)}"
    )
    raise NoProfileFits(message, [refuse(fit)], hint)


def found_words(hardware: Hardware) -> str:
    """Return the machine's GPUs as text: "2 × NVIDIA H100", or "no GPU"."""
    return ", ".join(str(group) for group in all_groups(hardware) if not group.mixed)


def _warnings(winner: Fit, hardware: Hardware) -> tuple[str, ...]:
    """Return warnings about the chosen profile as a tuple of texts."""
    estimated = [_overruled(miss) for miss in winner.misses]
    fallback = [winner.fallback] if winner.fallback else []
    return (*estimated, *_resized(winner), *_unused(winner, hardware), *fallback, *winner.memory_fit.notes)


def _overruled(miss: Miss) -> str:
    """Return the warning for one Miss of a profile that runs because it was asked for by name."""
    estimated = miss.kind in (Kind.CONTEXT, Kind.BUSY, Kind.MEMORY)
    words = f"{'by estimate ' if estimated else ''}the profile needs {miss.needed}, and {miss.found}"
    return words + (" is found" if not estimated else f": {miss.change}" if miss.change else "")


def _resized(winner: Fit) -> list[str]:
    """Return a list of one warning (text) for each parallel size that differs from the profile's."""
    own = {"tp": winner.profile.tensor_parallel_size, "pp": winner.profile.pipeline_parallel_size}
    now = {"tp": winner.parallel.tensor, "pp": winner.parallel.pipeline}
    names = {"tp": "tensor_parallel_size", "pp": "pipeline_parallel_size"}
    return [
        f"{tag}{now[tag]} ({winner.options.place(names[tag])}) is used, not the profile's {tag}{own[tag]}"
        for tag in names
        if own[tag] != now[tag]
    ]


def _unused(winner: Fit, hardware: Hardware) -> list[str]:
    """Return warnings about GPUs that are not used, or of different kinds used together."""
    if winner.profile.on_cpu:
        return []
    if winner.group.mixed:
        return [f"the GPUs are of different kinds: {winner.group} run at the pace of the slowest"]
    unused = [gpu for gpu in hardware.gpus if gpu not in winner.group.gpus]
    crowded = [g for g in winner.group.gpus if g not in winner.memory_fit.devices and is_crowded(g)]
    others = [f"the GPUs are of different kinds: {winner.group} is used, not GPU {_names(unused)}"]
    held = [f"other processes hold most of GPU {_names(crowded)}: it is not used"]
    return [*(others if unused else []), *(held if crowded and not winner.memory_fit.crowded else [])]


def _names(gpus: Sequence[Gpu]) -> str:
    """Return the GPUs' indexes and names as text: "0 (NVIDIA H100), 1 (…)"."""
    return ", ".join(f"{gpu.index} ({gpu.name or 'unknown'})" for gpu in gpus)
