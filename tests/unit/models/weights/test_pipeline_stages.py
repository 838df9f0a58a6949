"""Layers of pipeline stages, as vLLM's `get_pp_indices` deals them."""

import pytest

from nim.models.weights.pipeline_stages import stage_bounds


@pytest.mark.parametrize(
    ("layers", "stages", "sizes"),
    [
        (32, 2, [16, 16]),
        (61, 4, [15, 15, 16, 15]),
        (62, 4, [15, 16, 16, 15]),
        (5, 2, [3, 2]),
        (4, 4, [1, 1, 1, 1]),
    ],
)
def test_layers_that_are_over_go_to_the_middle(layers: int, stages: int, sizes: list[int]) -> None:
    assert [last - first for first, last in stage_bounds(layers, stages)] == sizes
