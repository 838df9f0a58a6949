"""Explain rejected profiles: what each needed, what was found, what would change it."""

from collections.abc import Sequence

from nim.errors import ProfileError
from nim.manifest import Manifest
from nim.plan import Refusal
from nim.selection.find_named_profile import PROFILE_VARIABLE
from nim.selection.fit_types import Fit, Kind
from nim.selection.rank_profiles import reason, sort_key


class NoProfileFits(ProfileError):
    """No profile can run here. `refused` lists them, nearest first; empty if one reason applies to all."""

    def __init__(self, message: str, refused: Sequence[Refusal], hint: str | None) -> None:
        super().__init__("\n".join([message, *map(describe, refused)]), hint=hint)
        self.refused = tuple(refused)


def no_profile_fits(fits: Sequence[Fit], manifest: Manifest, machine: str) -> NoProfileFits:
    """Return (not raise) the NoProfileFits error, with the shared reason or a table of all reasons."""
    model = manifest.name or "the model"
    elsewhere = (Kind.WISH, Kind.SIZE, Kind.ENGINE)
    asked = [fit for fit in fits if not any(miss.kind in elsewhere for miss in fit.misses)]
    alone = [{miss.alone: miss for miss in fit.misses if miss.alone} for fit in asked]
    for words, miss in alone[0].items() if alone else ():
        if all(words in reasons for reasons in alone):
            return NoProfileFits(f"cannot run {model} {words}", (), miss.change)
    refused = refuse_all(fits)
    message = f"cannot run {model} on this machine: no profile fits {machine}"
    nearest = next(fit for fit in fits if fit.profile.id == refused[0].profile)
    return NoProfileFits(message, refused, _resized(nearest) or refused[0].change)


def _resized(nearest: Fit) -> str | None:
    """Return how to run a profile that misses only the requested parallel sizes, as text; else None."""
    sizes = [miss for miss in nearest.misses if miss.kind is Kind.SIZE]
    ranks = nearest.options.integer("tensor_parallel_size") or nearest.profile.tensor_parallel_size
    ranks *= nearest.options.integer("pipeline_parallel_size") or nearest.profile.pipeline_parallel_size
    if not sizes or len(sizes) < len(nearest.misses) or ranks > len(nearest.group.gpus):
        return None
    named = f"{PROFILE_VARIABLE}={nearest.profile.label}"
    return f"{sizes[0].change}; {named} as well runs that profile with {sizes[0].needed.partition(',')[0]}"


def describe(refusal: Refusal) -> str:
    """Return a Refusal as one indented line of text: profile, needed, found, change."""
    change = f"; to change that: {refusal.change}" if refusal.change else ""
    return (
        f"  {refusal.label} ({refusal.profile[:12]}): needs {refusal.needed}; found {refusal.found}{change}"
    )


def refuse_all(fits: Sequence[Fit], winner: Fit | None = None) -> tuple[Refusal, ...]:
    """Return a tuple, a Refusal for each fit, nearest to fitting first. Raises nothing."""
    return tuple(refuse(fit, winner) for fit in sorted(fits, key=lambda fit: (fit.distance, sort_key(fit))))


def refuse(fit: Fit, winner: Fit | None = None) -> Refusal:
    """Return a profile's Refusal: needed, found, and what to change (None if nothing helps)."""
    worst_first = sorted(fit.misses, key=lambda miss: -miss.kind)
    needed, found = (", ".join(words) for words in _words(fit, winner))
    changes = [miss.change for miss in worst_first if miss.change]
    hopeless = any(miss.change is None for miss in worst_first)
    change = (
        None if hopeless else "; ".join(dict.fromkeys(changes)) or f"{PROFILE_VARIABLE}={fit.profile.label}"
    )
    return Refusal(profile=fit.profile.id, label=fit.profile.label, needed=needed, found=found, change=change)


def _words(fit: Fit, winner: Fit | None) -> tuple[list[str], list[str]]:
    """Return (what the profile needed, what was found) as two lists of texts, worst first."""
    if not fit.misses and winner is not None:
        return ["to rank first"], [f"{winner.profile.label} before it: {why_first(winner, fit)}"]
    worst_first = sorted(fit.misses, key=lambda miss: -miss.kind)
    return [miss.needed for miss in worst_first], [miss.found for miss in worst_first]


def why_first(winner: Fit, other: Fit) -> str:
    """Return why fit `winner` was chosen before fit `other`, as text."""
    if other.memory_fit.crowded and not winner.memory_fit.crowded:
        return "other processes hold most of a GPU that it would use"
    if winner.group != other.group:
        return f"{winner.group} is better than {other.group}"
    if other.memory_fit.busy and not winner.memory_fit.busy:
        return "other processes use a GPU that it would use"
    return reason(winner, other)
