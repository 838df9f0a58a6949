"""Rank two profiles that both fit, and state the reason."""

from nim.selection.fit_types import Fit

# Lower precision before higher; of four bits, what the hardware calculates in before what it unpacks.
PRECISIONS = ("nvfp4", "mxfp4", "int4", "mxfp8", "fp8", "int8", "bf16", "fp16", "fp32")
GOALS = ("latency", None, "throughput")


def sort_key(fit: Fit) -> tuple[object, ...]:
    """Return the sort key (tuple) of a Fit, best first; it ends in the id, so the order is total."""
    return (*_merits(fit), fit.profile.label, fit.profile.id)


def reason(first: Fit, second: Fit) -> str:
    """Return why fit `first` ranks before `second`, as text."""
    for ours, theirs, words in zip(_merits(first), _merits(second), _words(first, second), strict=True):
        if ours != theirs:
            return words
    return "by name"


def _merits(fit: Fit) -> tuple[int, ...]:
    """Return the ranking criteria of a fit as a tuple of ints, most important first; smaller is better."""
    profile = fit.profile
    precision, goal = profile.precision or "", profile.goal
    return (
        0 if profile.names_gpu else 1,
        1 if fit.fallback else 0,
        PRECISIONS.index(precision) if precision in PRECISIONS else len(PRECISIONS),
        -profile.tensor_parallel_size,
        GOALS.index(goal) if goal in GOALS else len(GOALS),
        1 if profile.lora else 0,
        profile.pipeline_parallel_size,
    )


def _words(one: Fit, other: Fit) -> tuple[str, ...]:
    """Return a tuple of texts: one reason for each ranking criterion, in the same order."""
    first, second = one.profile, other.profile
    precisions = f"{first.precision or 'unknown'} before {second.precision or 'unknown'}"
    return (
        "it is made for this GPU",
        f"what the GPU calculates in first ({precisions})",
        f"lower precision first ({precisions})",
        f"more GPUs together first (tp{first.tensor_parallel_size} before tp{second.tensor_parallel_size})",
        f"latency before throughput ({first.goal or 'neither'} before {second.goal or 'neither'})",
        "without LoRA before with LoRA",
        "fewer pipeline stages first",
    )
