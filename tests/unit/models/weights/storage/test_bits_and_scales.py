"""Bytes of stored matrices, and widths that a format refuses."""

from dataclasses import replace

import pytest

from nim.models.weights.storage import formats
from nim.models.weights.storage.bits_and_scales import Rule, Storage, plain
from nim.models.weights.tensor_parallel_split import CannotSplitError, Share, undivided

BLOCKS = formats.blocks(128, 128)


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        (plain(16), 256 * 512 * 2),
        (formats.FP8_TENSOR, 256 * 512),
        (formats.FP8_CHANNEL, 256 * 512 + 256 * 4),
        (BLOCKS, 256 * 512 + 2 * 4 * 4),
        (formats.NVFP4, 256 * 512 // 2 + 256 * 32),
        (formats.MXFP8, 256 * 512 + 256 * 16),
        (formats.groups(4, 128, zero_points=False), 256 * 512 // 2 + 256 * 4 * 2),
        (formats.groups(4, 128, zero_points=True), 256 * 512 // 2 + 256 * 4 * 2 + 256 * 4 // 2),
        (formats.groups(8, None, zero_points=False), 256 * 512 + 256 * 2),
    ],
)
def test_scales_are_counted(storage: Storage, expected: int) -> None:
    assert storage.matrix_bytes(256, 512) == expected


def test_a_tile_that_is_not_full_has_a_scale_of_its_own() -> None:
    assert BLOCKS.matrix_bytes(130, 128) == 130 * 128 + 2 * 4


class TestBlocks:
    def test_inputs_that_are_split_are_whole_blocks(self) -> None:
        with pytest.raises(CannotSplitError, match="512 in blocks of 128"):
            BLOCKS.check(Share(512), (undivided(1024),), 8)

    def test_a_single_output_is_whole_blocks(self) -> None:
        with pytest.raises(CannotSplitError, match="512 in blocks of 128"):
            BLOCKS.check(undivided(1024), (Share(512),), 8)

    def test_merged_outputs_may_end_in_part_of_a_block(self) -> None:
        BLOCKS.check(undivided(1024), (Share(512), Share(512)), 8)

    def test_nothing_is_refused_on_one_rank(self) -> None:
        BLOCKS.check(Share(200), (Share(300),), 1)


class TestExperts:
    def test_blocks_are_refined_to_what_divides(self) -> None:
        """768 channels on 8 ranks are 96 each: tiles of 32."""
        assert BLOCKS.for_experts(Share(768), 2048, 8).tile_rows == 32
        assert BLOCKS.for_experts(Share(768), 2048, 2) == BLOCKS

    def test_tiles_below_32_are_refused(self) -> None:
        with pytest.raises(CannotSplitError):
            BLOCKS.for_experts(Share(768), 2048, 16)

    def test_groups_are_whole(self) -> None:
        stored = formats.groups(4, 128, zero_points=False)
        with pytest.raises(CannotSplitError):
            stored.for_experts(Share(768), 2048, 4)

    def test_groups_of_gptq_are_halved(self) -> None:
        halved = replace(formats.groups(4, 128, zero_points=False), rule=Rule.HALVED)
        assert halved.for_experts(Share(768), 2048, 4).tile_columns == 64
        assert halved.for_experts(Share(768), 2048, 8).tile_columns == 32
        with pytest.raises(CannotSplitError, match="768 in groups of 128"):
            halved.for_experts(Share(768), 2048, 16)


def test_rows_of_nvfp4_are_a_multiple_of_its_group() -> None:
    formats.NVFP4.check(Share(1024), (undivided(64),), 8)
    with pytest.raises(CannotSplitError, match="1000 in groups of 16"):
        formats.NVFP4.check(undivided(1000), (Share(64),), 1)
