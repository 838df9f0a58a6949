"""Synthetic hardware from `--gpus 8xH200`, and the product table."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.errors import HardwareError
from nim.hardware import hardware_from_gpus
from nim.hardware.gpu_products import PRODUCTS, find_product, product_named, product_names

MIB = 1024**2


def names(text: str) -> list[str | None]:
    return [gpu.name for gpu in hardware_from_gpus(text).gpus]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("H200", ["NVIDIA H200"]),
        ("8xH200", ["NVIDIA H200"] * 8),
        ("2xB200", ["NVIDIA B200"] * 2),
        ("2 x b200", ["NVIDIA B200"] * 2),
        ("2×B300", ["NVIDIA B300 SXM6 AC"] * 2),
        ("2*L40S", ["NVIDIA L40S"] * 2),
        ("H100x2", ["NVIDIA H100 80GB HBM3"] * 2),
        ("H100-80GB-HBM3 x 2", ["NVIDIA H100 80GB HBM3"] * 2),
        ("02xT4", ["Tesla T4"] * 2),
        ("2xH100,1xA100", ["NVIDIA H100 80GB HBM3"] * 2 + ["NVIDIA A100-SXM4-80GB"]),
        ("A100, H100 , L4", ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3", "NVIDIA L4"]),
        ("RTX 5090", ["NVIDIA GeForce RTX 5090"]),
        ("rtx5090", ["NVIDIA GeForce RTX 5090"]),
        ("RTX5090x2", ["NVIDIA GeForce RTX 5090"] * 2),
        ("2xRTX 4090", ["NVIDIA GeForce RTX 4090"] * 2),
        ("NVIDIA GeForce RTX 4090", ["NVIDIA GeForce RTX 4090"]),
    ],
)
def test_forms(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("a100-sxm4-40gb", "NVIDIA A100-SXM4-40GB"),
        ("A100-40", "NVIDIA A100-SXM4-40GB"),
        ("A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB"),
        ("A100-80GB", "NVIDIA A100-SXM4-80GB"),
        ("A100-PCIe", "NVIDIA A100 80GB PCIe"),
        ("A10G", "NVIDIA A10G"),
        ("A10", "NVIDIA A10"),
        ("h100-80", "NVIDIA H100 80GB HBM3"),
        ("H100-80GB-HBM3", "NVIDIA H100 80GB HBM3"),
        ("H100-NVL", "NVIDIA H100 NVL"),
        ("H100 PCIe", "NVIDIA H100 PCIe"),
        ("H200-141GB", "NVIDIA H200"),
        ("H200-NVL", "NVIDIA H200 NVL"),
        ("GH200-144G-HBM3e", "NVIDIA GH200 144G HBM3e"),
        ("GH200-480GB", "NVIDIA GH200 480GB"),
        ("B300-SXM6-AC", "NVIDIA B300 SXM6 AC"),
        ("GB200", "NVIDIA GB200"),
        ("RTX-PRO-6000-Blackwell-Server-Edition", "NVIDIA RTX PRO 6000 Blackwell Server Edition"),
        ("RTX-PRO-4500-Blackwell-Server-Edition", "NVIDIA RTX PRO 4500 Blackwell Server Edition"),
        ("rtx pro 6000 blackwell", "NVIDIA RTX PRO 6000 Blackwell Server Edition"),
        ("V100", "Tesla V100-SXM2-16GB"),
        ("V100-32GB", "Tesla V100-SXM2-32GB"),
        ("l40s-48gb", "NVIDIA L40S"),
    ],
)
def test_spellings(spelling: str, name: str) -> None:
    product = find_product(spelling)
    assert product is not None
    assert product.name == name


def test_a_synthetic_gpu_is_idle_and_has_only_the_tables_values() -> None:
    hardware = hardware_from_gpus(" 2xH200 ")
    first, second = hardware.gpus
    assert (first.index, second.index) == (0, 1)
    assert first.memory_total_bytes == first.memory_free_bytes == 143771 * MIB
    assert first.compute_capability == (9, 0)
    assert first.pci_id == "2335:10de"
    assert (first.uuid, first.pci_address, first.utilization_percent, first.mig) == (None, None, None, None)
    assert hardware.source == "--gpus 2xH200"
    assert (hardware.driver_version, hardware.cpu_count, hardware.host_memory_bytes) == (None, None, None)


def test_a_gpu_without_memory_of_its_own_has_the_hosts() -> None:
    hardware = hardware_from_gpus("GB10")
    assert hardware.gpus[0].memory_total_bytes is None
    assert hardware.gpus[0].unified_memory is True
    assert hardware.host_memory_bytes == hardware.host_memory_available_bytes == 128 * 1000**3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it names no GPU"),
        (" ", "it names no GPU"),
        ("8xH200,", "an item between the commas is empty"),
        ("0xH200", 'the count in "0xH200" must be from 1 to 1024'),
        ("H200x0", 'the count in "H200x0" must be from 1 to 1024'),
        ("1025xH200", 'the count in "1025xH200" must be from 1 to 1024'),
        ("9" * 5000 + "xH200", "must be from 1 to 1024"),
        ("1000xH200,1000xH200", "2000 GPUs are more than 1024"),
        ("8xH300", 'no GPU is known as "H300"'),
        ("8x", 'no GPU is known as "8x"'),
        ("x8", 'no GPU is known as "x8"'),
        ("RTX 6090", 'no GPU is known as "RTX 6090"'),
        ("-1xH200", 'no GPU is known as "-1xH200"'),
        ("8", 'no GPU is known as "8"'),
        ("2xGB10", "a machine with a GB10 has that one GPU and no other"),
        ("H100,GB10", "a machine with a GB10 has that one GPU and no other"),
    ],
)
def test_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(HardwareError, match=re.escape(why)) as caught:
        hardware_from_gpus(text)
    assert caught.value.message.startswith(f'cannot read --gpus "{text}": ')
    assert caught.value.hint or caught.value.allowed


def test_an_unknown_name_gets_its_nearest() -> None:
    with pytest.raises(HardwareError) as caught:
        hardware_from_gpus("8xH300")
    assert {"H200", "H100"} <= set(caught.value.allowed)
    with pytest.raises(HardwareError) as caught:
        hardware_from_gpus("MI300X")
    assert "H200" in caught.value.allowed or caught.value.allowed


def test_the_table_is_sound() -> None:
    assert len({product.name for product in PRODUCTS}) == len(PRODUCTS)
    assert len(set(product_names())) == len(PRODUCTS)
    for product in PRODUCTS:
        assert re.fullmatch(r"[0-9a-f]{4}:10de", product.pci_id)
        assert find_product(product.name) is product
        assert find_product(product.short_name) is product
        assert product_named(product.name) is product
        assert all(find_product(alias) is product for alias in product.aliases)
        if (
            product.memory_bytes is not None
        ):  # what NVML reports is the box's figure, give or take ECC and GiB
            assert 0.93 < product.memory_bytes / (product.memory_gb * 1000**3) < 1.08


def test_unified_memory_is_graces() -> None:
    unified = {product.name.split()[1] for product in PRODUCTS if product.unified_memory}
    assert unified == {"GH200", "GB200", "GB300", "GB10"}


@given(st.lists(st.tuples(st.integers(1, 16), st.sampled_from(PRODUCTS)), min_size=1, max_size=4))
def test_every_mix_is_made_in_its_order(mix: list[tuple[int, object]]) -> None:
    wanted = [(count, product) for count, product in mix if getattr(product, "own_memory", False)]
    if not wanted:
        return
    text = ",".join(f"{count}x{getattr(product, 'name', '')}" for count, product in wanted)
    expected = [getattr(product, "name", None) for count, product in wanted for _ in range(count)]
    assert names(text) == expected


@given(st.text(max_size=30))
def test_any_text_is_hardware_or_an_error_in_words(text: str) -> None:
    try:
        outcome: object = len(hardware_from_gpus(text).gpus)
    except HardwareError as error:
        outcome = error.message.partition('"')[0]
    assert outcome in {*range(1, 1025), "cannot read --gpus "}
