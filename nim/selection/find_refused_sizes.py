"""Check parallel sizes and context against the engine's rules for a model, and suggest others."""

from collections.abc import Iterator
from dataclasses import replace

from nim.models.facts import ModelFacts
from nim.models.types import LARGEST, LayerKind, ModelReading
from nim.selection.fit_types import Case, Kind, Miss
from nim.selection.memory.estimate import ENGINE_UTILIZATION
from nim.selection.parallel_sizes import Parallel


def split_misses(case: Case) -> Iterator[Miss]:
    """Yield one Miss if the engine refuses the parallel sizes for this model; nothing otherwise."""
    if case.facts is None or case.profile.on_cpu:
        return
    words, why = next(_problems(case, case.facts), ("", ""))
    if why:
        yield Miss(
            kind=Kind.SPLIT,
            needed="sizes that the model can be split into",
            found=f"{case.parallel}: {why}",
            change=", or ".join(_others(case)) or None,
            alone=f"with {words}: {why}",
        )


def too_long(case: Case) -> Iterator[Miss]:
    """Yield one Miss if the set context is longer than the engine allows; nothing otherwise."""
    context = case.facts.reading.context if case.facts else None
    asked = case.options.context
    if context is None or context.limit is None or asked is None or asked <= context.limit:
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


def _problems(case: Case, facts: ModelFacts) -> Iterator[tuple[str, str]]:
    """Yield (size with its origin, reason) for each parallel size that the engine refuses."""
    parallel, reading = case.parallel, facts.reading
    name, words = "pipeline_parallel_size", f"pp{parallel.pipeline}"
    if parallel.pipeline == 1:
        name, words = "enable_expert_parallel", "expert parallelism"
    if why := facts.stages_fault(parallel.weight_ranks):
        yield f"{words} ({_place(case, name)})", why
    if why := facts.split_fault(parallel.weight_ranks, quantize=case.options.text("quantization")):
        yield f"{parallel} ({_place(case, 'tensor_parallel_size')})", why
    if why := _context_problem(reading, parallel):
        name = "decode_context_parallel_size"
        yield f"decode context parallelism over {parallel.decode_context} GPUs ({_place(case, name)})", why


def _place(case: Case, name: str) -> str:
    """Return where an option was set, as text: the user's place, else the profile."""
    return case.options.place(name) or f"profile {case.profile.label}"


def _context_problem(reading: ModelReading, parallel: Parallel) -> str | None:
    """Return why ranks cannot share a context (decode context parallel); None if they can."""
    shared, tensor, added = parallel.decode_context, parallel.tensor, parallel.prefill_context
    if shared == 1:
        return None
    if added == 1 and tensor % shared:
        return f"{shared} does not divide the tensor-parallel size {tensor}"
    if added > 1 and shared not in (added, tensor * added):
        return f"with prefill context parallelism over {added} GPUs it must be {added} or {tensor * added}"
    heads, kv = reading.heads, reading.kv_heads
    if not heads or not kv or any(layer.kind is LayerKind.MLA for layer in reading.layers or ()):
        return None
    if tensor <= kv or shared > tensor // kv:
        copies = max(tensor // kv, 1)
        return f"it takes {shared} copies of each KV head, and tp{tensor} has {copies} of each of {kv}"
    if heads // kv % shared:
        return f"{shared} does not divide the {heads // kv} attention heads that share a KV head"
    return None


def _others(case: Case) -> Iterator[str]:
    """Yield settings, as texts to type, whose parallel sizes work on these GPUs."""
    found, stages = len(case.group.gpus) // case.parallel.data, case.parallel.pipeline
    here = next(
        (size for size in _sizes(case, found // stages, stages) if _has_room(case, size * stages)), None
    )
    whole = next((size for size in _sizes(case, found, 1) if _has_room(case, size)), None)
    if here:
        yield _setting(case, here, stages)
    elif whole:
        yield _setting(case, whole, 1)
    joined = ((size, found // size) for size in range(found, 0, -1) if found % size == 0)
    others = (pair for pair in joined if pair[1] > 1 and pair != (here, stages) and _takes(case, *pair))
    if pair := next(others, None):
        yield _setting(case, *pair)
    if case.parallel.decode_context > 1 and not here:
        yield case.options.to_set("decode_context_parallel_size", 1)


def _sizes(case: Case, most: int, stages: int) -> Iterator[int]:
    """Yield the tensor-parallel sizes up to `most` that the engine accepts, largest first."""
    return (size for size in range(min(most, LARGEST), 0, -1) if _takes(case, size, stages))


def _takes(case: Case, size: int, stages: int) -> bool:
    """Return True if the engine accepts these parallel sizes, or if that is unknown."""
    parallel = replace(case.parallel, tensor=size, pipeline=stages)
    return case.facts is None or not any(_problems(replace(case, parallel=parallel), case.facts))


def _setting(case: Case, size: int, stages: int) -> str:
    """Return what to type for these parallel sizes, as text."""
    tensor = case.options.to_set("tensor_parallel_size", size)
    if stages == case.parallel.pipeline:
        return tensor
    return f"{tensor} with {case.options.to_set('pipeline_parallel_size', stages)}"


def _has_room(case: Case, ranks: int) -> bool:
    """Return True if this many GPUs hold the weights, or if that is unknown."""
    smallest, weights = case.group.smallest, case.estimate.weights_bytes
    memory = smallest.memory_total_bytes if smallest else None
    if memory is None or weights is None:
        return True
    rank = weights * case.parallel.tensor * case.parallel.pipeline / ranks
    return rank + case.estimate.workspace_bytes <= memory * ENGINE_UTILIZATION
