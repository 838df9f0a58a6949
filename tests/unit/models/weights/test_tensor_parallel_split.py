"""How ranks share one side of a weight."""

import pytest

from nim.models.weights.tensor_parallel_split import CannotSplitError, Share, undivided


@pytest.mark.parametrize(
    ("share", "ranks", "expected"),
    [
        (Share(8, 64), 1, 512),
        (Share(8, 64), 4, 128),
        (Share(8, 64, repeated=True), 16, 64),
        (undivided(100), 7, 100),
        (Share(3072, blocks=128), 16, 256),
        (Share(3072, blocks=128), 8, 384),
        (Share(256, least=256), 4, 256),
    ],
)
def test_a_rank_has_whole_units(share: Share, ranks: int, expected: int) -> None:
    assert share.on_rank(ranks) == expected


@pytest.mark.parametrize(
    ("share", "ranks"), [(Share(8, 64), 16), (Share(8, 64, repeated=True), 12), (Share(10), 4)]
)
def test_a_size_that_does_not_divide_is_named(share: Share, ranks: int) -> None:
    with pytest.raises(CannotSplitError, match=f"a width of {share.count}"):
        share.on_rank(ranks)
