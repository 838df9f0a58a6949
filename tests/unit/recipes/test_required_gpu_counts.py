"""From a minimum of memory to numbers of GPUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.engine.compute_capability_requirements import SUPPORT
from nim.hardware.gpu_products import PRODUCTS, Product, find_product
from nim.recipes.hardware_names import find_target, machine_size
from nim.recipes.required_gpu_counts import (
    MOST_STAGES,
    Need,
    Shape,
    can_calculate,
    fits,
    general_shapes,
    shapes_for,
    smallest,
    weights_gb,
)
from nim.selection.memory.weights import BYTES_PER_PARAMETER
from nim.selection.rank_profiles import PRECISIONS


def gpu(name: str) -> Product:
    product = find_product(name)
    assert product is not None
    return product


@pytest.mark.parametrize(
    ("name", "gb", "shape"),
    [
        ("H100", 20, Shape(tp=1)),
        ("H100", 80, Shape(tp=1)),
        ("H100", 90, Shape(tp=2)),
        ("H200", 805, Shape(tp=8)),
        ("B300", 805, Shape(tp=4)),
        ("H100", 805, None),
        ("GB300", 1786, None),
        ("L4", 22, Shape(tp=1)),
    ],
)
def test_the_gpus_together_must_have_the_minimum(name: str, gb: float, shape: Shape | None) -> None:
    assert smallest(gpu(name), Need(precision="bf16", vram_gb=gb)) == shape


def test_several_machines_are_joined_by_stages_where_the_recipe_does_so() -> None:
    need = Need(precision="fp8", vram_gb=805, several_nodes=True)
    assert smallest(gpu("H100"), need) == Shape(tp=8, pp=2)
    assert smallest(gpu("GB200"), Need(precision="fp8", vram_gb=893, several_nodes=True)) == Shape(tp=4, pp=2)
    assert smallest(gpu("RTX 5090"), need) is None


def test_the_recipes_own_size_is_kept() -> None:
    assert smallest(gpu("H100"), Need(precision="bf16", vram_gb=20, tp=2)) == Shape(tp=2)
    assert smallest(gpu("H100"), Need(precision="bf16", vram_gb=200, tp=2)) is None
    assert general_shapes(Need(precision="fp8", vram_gb=276, tp=4)) == (Shape(tp=4),)


def test_weights_count_with_what_the_engine_takes_beside_them() -> None:
    """On many small GPUs the workspace is what does not go in."""
    assert smallest(gpu("L4"), Need(precision="bf16", vram_gb=2, weights_gb=25)) == Shape(tp=2)


def test_a_larger_share_of_each_gpu_holds_more_weights() -> None:
    tight = Need(precision="bf16", vram_gb=80, weights_gb=75)
    assert smallest(gpu("H100"), tight) == Shape(tp=1)
    assert smallest(gpu("H100"), Need(precision="bf16", vram_gb=80, weights_gb=75, utilization=0.8)) == Shape(
        tp=2
    )


def test_shapes_are_those_that_some_gpu_needs() -> None:
    assert general_shapes(Need(precision="bf16", vram_gb=20)) == (Shape(tp=1),)
    assert general_shapes(Need(precision="bf16", vram_gb=170)) == tuple(Shape(tp=tp) for tp in (1, 2, 4, 8))
    assert general_shapes(Need(precision="nvfp4", vram_gb=20)) == (Shape(tp=1),)
    assert general_shapes(Need(precision="bf16", vram_gb=9000)) == ()


def test_a_whole_machine_is_used_whole_and_a_tray_has_four() -> None:
    need = Need(precision="nvfp4", vram_gb=170)
    two, tray, spark = find_target("rtx_pro_6000_2x"), find_target("gb200"), find_target("dgx_spark_gb10")
    assert two
    assert shapes_for(two, need) == (Shape(tp=2),)
    assert spark
    assert shapes_for(spark, need) == (Shape(tp=1),)
    assert tray
    assert shapes_for(tray, need) == (Shape(tp=1), Shape(tp=2), Shape(tp=4))


def test_every_precision_has_a_size_a_rank_and_its_gpus() -> None:
    assert set(BYTES_PER_PARAMETER) == set(PRECISIONS) == set(SUPPORT)


def test_precisions_need_their_gpus() -> None:
    assert can_calculate(gpu("B200"), "nvfp4")
    assert not can_calculate(gpu("H200"), "nvfp4")
    assert weights_gb(8, "bf16") == 16
    assert weights_gb(None, "bf16") is None


@given(gb=st.floats(1, 6000), several=st.booleans(), tp=st.sampled_from([None, 1, 2, 4, 8]))
def test_every_shape_holds_it_on_some_gpu_and_no_smaller_one_does(
    gb: float, several: bool, tp: int | None
) -> None:
    need = Need(precision="fp8", vram_gb=gb, tp=tp, several_nodes=several)
    for shape in general_shapes(need):
        users = [p for p in PRODUCTS if smallest(p, need) == shape]
        assert users
        assert all(fits(p, shape, need) for p in users)
        assert shape.pp == 1 or (several and 1 < shape.pp <= MOST_STAGES)
        assert all(shape.tp <= machine_size(p) for p in users)
        assert tp is None or shape.tp == tp


@given(gb=st.floats(1, 3000), more=st.floats(1, 3000))
def test_more_memory_needed_never_takes_fewer_gpus(gb: float, more: float) -> None:
    for product in PRODUCTS:
        little = smallest(product, Need(precision="int4", vram_gb=gb, several_nodes=True))
        much = smallest(product, Need(precision="int4", vram_gb=gb + more, several_nodes=True))
        if much is not None:
            assert little is not None
            assert little.gpus <= much.gpus
