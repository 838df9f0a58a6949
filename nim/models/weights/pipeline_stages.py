"""How the engine distributes layers over the stages of a pipeline."""

from itertools import accumulate, pairwise


def stage_bounds(layers: int, stages: int) -> list[tuple[int, int]]:
    """Return the first layer of each stage and the one behind its last.

    Layers that are over go one each to the stages before the last one, from the back, as in vLLM's
    `get_pp_indices`: the first and the last stage have embedding and head to hold.
    """
    sizes = [layers // stages] * stages
    for extra in range(layers % stages):
        sizes[-(extra + 2)] += 1
    return list(pairwise([0, *accumulate(sizes)]))
