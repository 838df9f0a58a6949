"""Which profile this machine runs, and why: the same one every time, or a refusal that says it all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nim.errors import ProfileError
from nim.hardware.types import Gpu, Hardware
from nim.manifest import Manifest, Profile
from nim.plan import ChosenProfile, Refusal
from nim.selection.fit import Case, Fit, Group, Kind, Wishes, groups
from nim.selection.labels import (
    AUTOMATIC,
    PROFILE_VARIABLE,
    VARIANT_TAG,
    Asked,
    find_asked,
    parse_tags,
    with_variants,
)
from nim.selection.memory import Estimate, estimate
from nim.selection.memory_fit import find_room, gigabytes
from nim.selection.rank import reason, sort_key
from nim.selection.requirements import misses


class NoProfileFits(ProfileError):
    """No profile can run here. `refused` is the whole table, nearest miss first."""

    def __init__(self, message: str, refused: Sequence[Refusal], hint: str | None) -> None:
        table = "\n".join(describe(refusal) for refusal in refused)
        super().__init__(f"{message}\n{table}", hint=hint)
        self.refused = tuple(refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the decision, in words."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The decision. `profile` has the options of all variants that were asked for in its `engine`.

    `devices` are the GPUs to run on, in the user's order: none for a profile of the CPU.
    `utilization` is the share of each GPU to give the engine, where its default would not do.
    """

    chosen: ChosenProfile
    profile: Profile
    devices: tuple[Gpu, ...]
    estimate: Estimate
    utilization: float | None
    refused: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    steps: tuple[Step, ...]


def select(manifest: Manifest, hardware: Hardware, wishes: Wishes) -> Selection:
    """Exactly one profile; ProfileError if there is none, or if the one asked for does not exist or fit."""
    tags = parse_tags(wishes.tags_selector, manifest)
    asked = find_asked(manifest, wishes.profile, tags)
    if asked.profile is not None:
        wishes, tags = replace(wishes, lora=False), {}  # a name says more than what narrows a choice
    fits = compare_all(manifest, hardware, wishes, asked.variants, tags)
    if asked.profile is not None:
        winner = _the_one_asked_for(fits, asked.profile, hardware)
        because = f"{PROFILE_VARIABLE} asks for it"
    else:
        winner, because = _the_best(fits, manifest, hardware)
    return _selection(winner, because, fits, hardware, wishes, asked)


def compare_all(
    manifest: Manifest, hardware: Hardware, wishes: Wishes, variants: Sequence[str], tags: Mapping[str, str]
) -> tuple[Fit, ...]:
    """Every profile on the group of GPUs where it fits best, in the order of their rank."""
    kinds = groups(hardware)
    fits = [
        _best_fit(with_variants(manifest, profile, variants), manifest, hardware, wishes, tags, kinds)
        for profile in manifest.profiles
    ]
    return tuple(sorted(fits, key=lambda fit: sort_key(fit.profile)))


def describe(refusal: Refusal) -> str:
    """One line of the table."""
    change = f"; to change that: {refusal.change}" if refusal.change else ""
    return (
        f"  {refusal.label} ({refusal.profile[:12]}): needs {refusal.needed}; found {refusal.found}{change}"
    )


def _best_fit(
    profile: Profile,
    manifest: Manifest,
    hardware: Hardware,
    wishes: Wishes,
    tags: Mapping[str, str],
    kinds: Sequence[Group],
) -> Fit:
    """The first group in which it fits; else the one in which it is nearest to fitting."""
    size = estimate(profile, manifest.model, wishes.max_model_len)
    tried = []
    for group in kinds:
        case = Case(profile=profile, group=group, hardware=hardware, wishes=wishes, tags=tags, estimate=size)
        tried.append(_fit(case))
        if tried[-1].fits:
            return tried[-1]
    return min(tried, key=lambda fit: fit.distance)


def _fit(case: Case) -> Fit:
    found = tuple(misses(case))
    room = find_room(case)
    lacking = (room.miss,) if room.miss and (case.group.gpus or case.profile.on_cpu) else ()
    return Fit(
        profile=case.profile, group=case.group, estimate=case.estimate, misses=(*found, *lacking), room=room
    )


def _the_best(fits: Sequence[Fit], manifest: Manifest, hardware: Hardware) -> tuple[Fit, str]:
    """The best kind of GPUs on which anything fits, and there the first in rank."""
    runnable = [fit for fit in fits if fit.fits]
    if not runnable:
        message = (
            f"cannot run {manifest.name or 'the model'} on this machine: no profile fits {_found(hardware)}"
        )
        refused = _refused(fits)
        raise NoProfileFits(message, refused, refused[0].change)
    order = [group.gpus for group in groups(hardware)]
    best = min(order.index(fit.group.gpus) for fit in runnable)
    there = [fit for fit in runnable if fit.group.gpus == order[best]]
    if len(there) == 1:
        return there[0], "it is the only one that fits"
    return there[0], f"first of the {len(there)} that fit: {reason(there[0].profile, there[1].profile)}"


def _the_one_asked_for(fits: Sequence[Fit], asked: Profile, hardware: Hardware) -> Fit:
    """It has to fit, save that an estimate alone does not overrule a person: weights that do not go in do."""
    fit = next(fit for fit in fits if fit.profile.id == asked.id)
    if all(miss.kind is Kind.CONTEXT or _only_estimated(fit, miss.kind) for miss in fit.misses):
        return fit
    others = [other for other in fits if other.fits]
    hint = f"{PROFILE_VARIABLE}={others[0].profile.label}, which fits" if others else refuse(fit).change
    label = fit.profile.label
    message = f"cannot run the profile '{label}' ({PROFILE_VARIABLE}) on this machine: {_found(hardware)}"
    raise NoProfileFits(message, [refuse(fit)], hint)


def _only_estimated(fit: Fit, kind: Kind) -> bool:
    """Whether the weights themselves go in, and only the allowance for everything else does not."""
    weights, usable = fit.estimate.weights_bytes, fit.room.usable_bytes
    return kind is Kind.MEMORY and weights is not None and usable is not None and weights <= usable


def _selection(
    winner: Fit, because: str, fits: Sequence[Fit], hardware: Hardware, wishes: Wishes, asked: Asked
) -> Selection:
    profile = winner.profile
    chosen = ChosenProfile(id=profile.id, label=profile.label, tags=dict(profile.tags), because=because)
    return Selection(
        chosen=chosen,
        profile=profile,
        devices=() if profile.on_cpu else winner.room.devices,
        estimate=winner.estimate,
        utilization=winner.room.utilization,
        refused=_refused([fit for fit in fits if fit is not winner], winner),
        warnings=_warnings(winner, hardware),
        steps=_steps(winner, because, fits, hardware, wishes, asked),
    )


def _refused(fits: Sequence[Fit], winner: Fit | None = None) -> tuple[Refusal, ...]:
    """Those that fit but were outranked, then the others, nearest miss first."""
    return tuple(
        refuse(fit, winner) for fit in sorted(fits, key=lambda fit: (fit.distance, sort_key(fit.profile)))
    )


def refuse(fit: Fit, winner: Fit | None = None) -> Refusal:
    """Needed against found, of everything that is amiss; the first change is the one that matters most."""
    worst_first = sorted(fit.misses, key=lambda miss: -miss.kind)
    needed, found = (", ".join(words) for words in _words(fit, winner))
    changes = [miss.change for miss in worst_first if miss.change]
    hopeless = any(miss.change is None for miss in worst_first)
    change = (
        None if hopeless else "; ".join(dict.fromkeys(changes)) or f"{PROFILE_VARIABLE}={fit.profile.label}"
    )
    return Refusal(profile=fit.profile.id, label=fit.profile.label, needed=needed, found=found, change=change)


def _words(fit: Fit, winner: Fit | None) -> tuple[list[str], list[str]]:
    if not fit.misses and winner is not None:
        elsewhere = fit.group.gpus != winner.group.gpus
        why = (
            f"{winner.group} is better than {fit.group}" if elsewhere else reason(winner.profile, fit.profile)
        )
        return ["to rank first"], [f"{winner.profile.label} before it: {why}"]
    worst_first = sorted(fit.misses, key=lambda miss: -miss.kind)
    return [miss.needed for miss in worst_first], [miss.found for miss in worst_first]


def _warnings(winner: Fit, hardware: Hardware) -> tuple[str, ...]:
    amiss = [
        f"by estimate the profile needs {miss.needed}, and {miss.found}"
        + (f": {miss.change}" if miss.change else "")
        for miss in winner.misses
    ]
    unused = [gpu for gpu in hardware.gpus if gpu not in winner.group.gpus]
    if unused and not winner.profile.on_cpu:
        names = ", ".join(f"{gpu.index} ({gpu.name or 'unknown'})" for gpu in unused)
        amiss.append(f"the GPUs are of different kinds: {winner.group} is used, not GPU {names}")
    return (*amiss, *winner.room.notes)


def _steps(
    winner: Fit, because: str, fits: Sequence[Fit], hardware: Hardware, wishes: Wishes, asked: Asked
) -> tuple[Step, ...]:
    """The decision as it was taken: what there is, what was asked, what each test left, who won."""
    steps = [Step(name="hardware", text=_found(hardware)), Step(name="asked", text=_asked(wishes, asked))]
    left = list(fits)
    for name, kinds in _TESTS.items():
        out = [fit for fit in left if any(miss.kind in kinds for miss in fit.misses) and fit is not winner]
        left = [fit for fit in left if fit not in out]
        steps.append(Step(name=name, text=f"{len(left)} of {len(left) + len(out)} pass"))
    names = [fit.profile.label for fit in left]
    steps.append(Step(name="rank", text=" > ".join(names[:5]) + (" > …" if len(names) > 5 else "")))
    return (*steps, Step(name="chosen", text=f"{winner.profile.label} ({because}){_size(winner)}"))


def _size(fit: Fit) -> str:
    """The estimate in words, with what it does not know."""
    need = fit.estimate.need_bytes
    words = f", about {gigabytes(need)}{'' if fit.profile.on_cpu else ' per GPU'}" if need else ""
    unknown = fit.estimate.unknown
    return f"{words}, not counting {' and '.join(unknown)}, which is unknown" if unknown else words


_TESTS = {
    "engine": (Kind.ENGINE,),
    "wishes": (Kind.WISH,),
    "GPU": (Kind.MODEL, Kind.CAPABILITY),
    "count": (Kind.COUNT,),
    "memory": (Kind.MEMORY, Kind.BUSY, Kind.CONTEXT),
}


def _asked(wishes: Wishes, asked: Asked) -> str:
    said = {
        PROFILE_VARIABLE: wishes.profile if wishes.profile != AUTOMATIC else None,
        "tags": ",".join(wishes.tags_selector) or None,
        VARIANT_TAG: "+".join(asked.variants) or None,
        "LoRA": "yes" if wishes.lora else None,
        "max_model_len": wishes.max_model_len,
        "tp": wishes.tensor_parallel_size,
        "pp": wishes.pipeline_parallel_size,
        "nodes": wishes.nodes if wishes.nodes > 1 else None,
        "NVFP4 emulation": "allowed" if wishes.allow_nvfp4_emulation else None,
        "engine build": wishes.engine_build,
    }
    return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None) or "nothing"


def _found(hardware: Hardware) -> str:
    """The machine in a few words."""
    return ", ".join(str(group) for group in groups(hardware))
