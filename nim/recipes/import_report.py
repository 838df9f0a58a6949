"""The report of an import of recipes, as text or as JSON values."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from nim.errors import NimError
from nim.frozen_dataclass import frozen_dataclass
from nim.manifest import Manifest
from nim.recipes.find_refused_arguments import Reason


@frozen_dataclass
class Outcome:
    """The result for one recipe: its manifest, or why there is none.

    `left_out` was not imported. `error` is why the file could not be read, `refused` why it was not
    imported. `chosen` describes what the requested GPUs would run; None if no GPUs were given.
    """

    recipe: str
    manifest: Manifest | None = None
    file: str | None = None
    left_out: tuple[Reason, ...] = ()
    refused: tuple[Reason, ...] = ()
    error: str | None = None
    chosen: str | None = None

    @property
    def failed(self) -> bool:
        """Return whether the recipe was not imported (there is no manifest)."""
        return self.manifest is None


def refusal_words(error: NimError) -> str:
    """Return the first line of an error's message, without the reasons listed below it."""
    return error.message.partition("\n")[0]


def report_text(outcomes: Sequence[Outcome]) -> str:
    """Return the report as text: a line per recipe, its refusals below it, and the total."""
    width = max((len(outcome.recipe) for outcome in outcomes), default=0)
    lines = []
    for outcome in outcomes:
        lines.append(f"{outcome.recipe:<{width}}  {_result(outcome)}")
        lines += [f"  {reason}" for reason in outcome.refused]
    failed = sum(outcome.failed for outcome in outcomes)
    lines.append(f"{len(outcomes) - failed} of {len(outcomes)} recipes imported")
    return "\n".join(lines) + "\n"


def report_data(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the report as a list of dicts of JSON values, one per recipe."""
    return [_data(outcome) for outcome in outcomes]


def _result(outcome: Outcome) -> str:
    """Return one recipe's result as text: profiles by precision, or why it was not imported."""
    if outcome.manifest is None:
        return f"not imported: {outcome.error}" if outcome.error else "not imported"
    counts = Counter(profile.precision or "unknown" for profile in outcome.manifest.profiles)
    words = [", ".join(f"{precision} × {count}" for precision, count in counts.items())]
    if variants := len(outcome.manifest.variants):
        words.append(f"+ {variants} variant{'s' if variants > 1 else ''}")
    if outcome.chosen:
        words.append(f"→ {outcome.chosen}")
    return " ".join(words)


def _data(outcome: Outcome) -> dict[str, Any]:
    """Return one recipe's result as a dict of JSON values."""
    manifest = outcome.manifest
    return {
        "recipe": outcome.recipe,
        "imported": not outcome.failed,
        "file": outcome.file,
        "model": manifest.name if manifest else None,
        "profiles": [profile.label for profile in manifest.profiles] if manifest else [],
        "variants": list(manifest.variants) if manifest else [],
        "chosen": outcome.chosen,
        "left_out": [_reason(reason) for reason in outcome.left_out],
        "refused": [_reason(reason) for reason in outcome.refused],
        "error": outcome.error,
    }


def _reason(reason: Reason) -> dict[str, str]:
    """Return a `Reason` as a dict with key and reason."""
    return {"key": reason.key, "reason": reason.text}
