"""Sizes that a model can be split into: what the engine refuses of a profile's, and what works instead."""

from collections.abc import Iterator
from dataclasses import replace

from nim.models.facts import ModelFacts
from nim.models.parameters.modules import Ranks
from nim.selection.fit import Case, Kind, Miss
from nim.selection.memory import ENGINE_UTILIZATION
from nim.selection.parallel import Parallel

MOST_RANKS = 16


def split_misses(case: Case) -> Iterator[Miss]:
    """Yield why the engine refuses these sizes."""
    why = None if case.profile.on_cpu else _problem(case.facts, case.parallel)
    if why is None:
        return
    place = case.options.place("tensor_parallel_size") or case.options.place("pipeline_parallel_size")
    yield Miss(
        kind=Kind.SPLIT,
        needed="sizes that the model can be split into",
        found=f"{case.parallel}: {why}",
        change=", or ".join(_others(case)) or None,
        alone=f"with {case.parallel} ({place or f'profile {case.profile.label}'}): {why}",
    )


def too_long(case: Case) -> Iterator[Miss]:
    """Yield a context that is longer than the engine takes for this model."""
    context = case.facts.reading.context if case.facts else None
    asked = case.options.context
    if context is None or asked is None or asked <= context.limit:
        return
    place, limit = case.options.place("max_model_len"), f"{context.limit} tokens ({context.why})"
    if not case.options.flag("VLLM_ALLOW_LONG_MAX_MODEL_LEN"):
        yield Miss(
            kind=Kind.LENGTH,
            needed=f"a context of at most {limit}",
            found=f"{asked} ({place})",
            change=case.options.to_set("max_model_len", context.limit),
            shortfall=asked / context.limit,
            alone=f"with a context of {asked} tokens ({place}): the engine takes at most {limit}",
        )


def _problem(facts: ModelFacts | None, parallel: Parallel) -> str | None:
    """Why the engine refuses the sizes; None where it takes them, or where that is not known."""
    if facts is None:
        return None
    if what := facts.why_not(Ranks(tensor=parallel.tensor)):
        return f"{what} cannot be split over {parallel.tensor} GPUs"
    if what := facts.why_not(parallel.weight_ranks):
        return f"{what} cannot be split over the {parallel.expert_ranks} GPUs of all replicas"
    return None


def _others(case: Case) -> Iterator[str]:
    """Settings that work on the GPUs of the group: the most that share a layer, and all with stages."""
    parallel, found = case.parallel, len(case.group.gpus) // case.parallel.data
    sizes = range(min(found, MOST_RANKS), 0, -1)
    works = [
        size for size in sizes if _problem(case.facts, replace(parallel, tensor=size, pipeline=1)) is None
    ]
    shared = next((size for size in works if _has_room(case, size)), None)
    if shared:
        yield case.options.to_set("tensor_parallel_size", shared)
    for size in works:
        stages = found // size
        joined = replace(parallel, tensor=size, pipeline=stages)
        if found % size == 0 and stages > 1 and _problem(case.facts, joined) is None:
            tensor = case.options.to_set("tensor_parallel_size", size)
            yield f"{tensor} with {case.options.to_set('pipeline_parallel_size', stages)}"
            return


def _has_room(case: Case, ranks: int) -> bool:
    """Whether the weights go into so many of the GPUs, as far as that is known."""
    smallest, weights = case.group.smallest, case.estimate.weights_bytes
    memory = smallest.memory_total_bytes if smallest else None
    if memory is None or weights is None:
        return True
    rank = weights * case.parallel.tensor * case.parallel.pipeline / ranks
    return rank + case.estimate.workspace_bytes <= memory * ENGINE_UTILIZATION
