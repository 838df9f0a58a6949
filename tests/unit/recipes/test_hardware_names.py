"""Hardware named in recipes is found in the GPU table and distinguished in a manifest."""

import re

import pytest

from nim.hardware.gpu_products import PRODUCTS, find_product
from nim.recipes.hardware_names import (
    FAMILIES,
    family_names,
    find_target,
    is_desktop,
    is_family,
    machine_size,
    name_pattern,
    plain_name,
)

NOBODY: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("key", "name", "gpus", "whole", "device"),
    [
        ("h100", "H100", 8, False, "2330:10de"),
        ("gb200", "GB200", 4, False, "2941:10de"),
        ("dgx_spark_gb10", "GB10", 1, True, "2e12:10de"),
        ("dgx_station_gb300", "GB300", 1, True, None),
        ("rtx_pro_6000", "RTX PRO 6000", 1, True, None),
        ("rtx_pro_6000_8x", "RTX PRO 6000", 8, True, None),
        ("rtx_pro_5000_4x", "RTX PRO 5000 72GB", 4, True, None),
        ("rtx_5090_2x", "RTX 5090", 2, True, "2b85:10de"),
        ("rtx_4090_2x", "RTX 4090", 2, True, "2684:10de"),
    ],
)
def test_a_machine_is_so_many_of_a_gpu(key: str, name: str, gpus: int, whole: bool, device: str) -> None:
    target = find_target(key)
    assert target is not None
    assert (target.name, target.gpus, target.whole, target.device_id) == (name, gpus, whole, device)
    assert target.chain[-1] == key
    assert target.chain[0] in FAMILIES
    assert target.products


@pytest.mark.parametrize("key", ["amd", "mi300x", "trillium", "xeon6", "cpu", "xpu", "h100_0x", "blackwel"])
def test_other_hardware_is_not_found(key: str) -> None:
    assert find_target(key) is None


def test_the_generation_of_a_machine_is_that_of_its_gpus() -> None:
    for key in ("a100", "h100", "h200", "b200", "b300", "gb200", "gb300", "rtx_4090", "rtx_5090"):
        target = find_target(key)
        assert target is not None
        family = find_target(target.chain[0])
        assert family is not None
        assert set(target.products) <= set(family.products)


def test_generations_do_not_overlap_and_their_patterns_find_their_gpus_alone() -> None:
    for family in FAMILIES:
        target = find_target(family)
        assert target is not None
        assert is_family(target)
        pattern = name_pattern(family_names(target, NOBODY))
        found = [p for p in PRODUCTS if re.search(pattern, p.name, re.IGNORECASE)]
        assert found == list(target.products), family
        labelled = [p for p in PRODUCTS if re.search(pattern, p.name.replace(" ", "-"), re.IGNORECASE)]
        assert labelled == found


def test_a_machine_that_is_treated_apart_is_out_of_its_generation_in_all_its_forms() -> None:
    hopper = find_target("hopper")
    assert hopper is not None
    assert "H100" in family_names(hopper, NOBODY)
    assert family_names(hopper, frozenset({"h100"})) == tuple(
        name for name in family_names(hopper, NOBODY) if name != "H100"
    )


def test_every_product_has_a_name_of_its_own_words() -> None:
    for product in PRODUCTS:
        assert plain_name(product) in product.name
        assert re.search(r"\d", plain_name(product)), product.name


def test_workstation_blackwell_is_distinguished_from_data_centre_blackwell() -> None:
    desks = {product.name for product in PRODUCTS if is_desktop(product)}
    assert "NVIDIA GeForce RTX 5090" in desks
    assert "NVIDIA GB10" in desks
    assert not {"NVIDIA B200", "NVIDIA GB300", "NVIDIA H200"} & desks


def test_small_machines_are_known() -> None:
    sizes = {
        name: machine_size(product) for name in ("GB200", "GB10", "H200") if (product := find_product(name))
    }
    assert sizes == {"GB200": 4, "GB10": 1, "H200": 8}
