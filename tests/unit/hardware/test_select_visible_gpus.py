"""CUDA_VISIBLE_DEVICES and NVIDIA_VISIBLE_DEVICES, in all their forms."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.errors import HardwareError
from nim.hardware.select_visible_gpus import hiding_variable, visible_gpus
from nim.hardware.types import Gpu, Mig

UUIDS = (
    "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
    "GPU-89aaaaaa-d72c-4106-c12f-20bd9faed9f6",
    "GPU-1b2c3d4e-d72c-4106-c12f-20bd9faed9f6",
    "GPU-00112233-d72c-4106-c12f-20bd9faed9f6",
)
FOUR = tuple(Gpu(index=index, name="NVIDIA H100 80GB HBM3", uuid=uuid) for index, uuid in enumerate(UUIDS))
MIG_UUIDS = ("MIG-4aaaaaaa-0000-5000-8000-000000000001", "MIG-4bbbbbbb-0000-5000-8000-000000000002")
DIVIDED = (
    *(
        Gpu(
            index=0,
            name="NVIDIA A100-SXM4-40GB",
            uuid=uuid,
            mig=Mig(
                profile="3g.20gb", parent_uuid=UUIDS[0], gpu_instance_id=number + 1, compute_instance_id=0
            ),
        )
        for number, uuid in enumerate(MIG_UUIDS)
    ),
    Gpu(index=1, name="NVIDIA A100-SXM4-40GB", uuid=UUIDS[2]),
)


def cuda(value: str, gpus: tuple[Gpu, ...] = FOUR, **others: str) -> list[str | None]:
    return [gpu.uuid for gpu in visible_gpus(gpus, {"CUDA_VISIBLE_DEVICES": value} | others)]


def runtime(value: str, gpus: tuple[Gpu, ...] = FOUR) -> list[str | None]:
    return [gpu.uuid for gpu in visible_gpus(gpus, {"NVIDIA_VISIBLE_DEVICES": value})]


def test_unset_shows_all() -> None:
    assert visible_gpus(FOUR, {}) == FOUR


@pytest.mark.parametrize("value", ["", " ", "none", "NONE", "void", "NoDevFiles", "-1", "-1,0", " -1 , 0"])
def test_what_hides_all(value: str) -> None:
    assert cuda(value) == []
    assert hiding_variable({"CUDA_VISIBLE_DEVICES": value}) == f'CUDA_VISIBLE_DEVICES="{value}"'


@pytest.mark.parametrize(
    ("value", "indexes"),
    [
        ("0", [0]),
        ("3,1,0", [3, 1, 0]),
        (" 2 , 0 ", [2, 0]),
        ("01", [1]),
        ("0,2,-1,1", [0, 2]),
        ("2,-1,2", [2]),
        ("1,-1,seven", [1]),
        (f"{UUIDS[2]},{UUIDS[0]}", [2, 0]),
        ("GPU-1b2c3d4e", [2]),
        ("GPU-8932,GPU-89a,GPU-0", [0, 1, 3]),
        ("GPU-1,-1", [2]),
    ],
)
def test_lists(value: str, indexes: list[int]) -> None:
    assert cuda(value) == [UUIDS[index] for index in indexes]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("4", "there is no GPU 4"),
        ("0,9,1", "there is no GPU 9"),
        ("-2", '"-2" is neither an index, nor a UUID (GPU-…), nor a MIG name (MIG-…)'),
        ("0,", '"" is neither an index'),
        (",0", '"" is neither an index'),
        ("0,,1", '"" is neither an index'),
        ('"0,1"', "is neither an index"),
        ("0;1", '"0;1" is neither an index'),
        ("²", '"²" is neither an index'),
        ("8932f937", '"8932f937" is neither'),
        ("all", '"all" is not a word that CUDA knows; without the variable it shows all'),
        ("0,0", "is in it twice, and CUDA then shows none"),
        ("1,01", "is in it twice"),
        ("GPU-8932,GPU-8932f937", "is in it twice"),
        ("GPU-89", '"GPU-89" is the beginning of several'),
        ("GPU-", '"GPU-" names no device that is visible here'),
        ("GPU-ffff", '"GPU-ffff" names no device that is visible here'),
        ("MIG-4aaaaaaa", '"MIG-4aaaaaaa" names no device that is visible here'),
        (f"0,{UUIDS[1]}", "it mixes GPU UUIDs and indexes"),
    ],
)
def test_what_cuda_would_not_use_is_refused_by_name(value: str, why: str) -> None:
    with pytest.raises(HardwareError, match=re.escape(why)) as caught:
        cuda(value)
    message = str(caught.value)
    assert message.startswith(f'cannot use CUDA_VISIBLE_DEVICES "{value}": ')
    assert UUIDS[0] in message
    assert "hint: unset CUDA_VISIBLE_DEVICES" in message


def test_several_beginnings_are_listed_and_only_they() -> None:
    with pytest.raises(HardwareError) as caught:
        cuda("GPU-89")
    assert [entry.partition(" ")[0] for entry in caught.value.allowed] == ["0", "1"]


def test_naming_a_gpu_on_a_machine_without_one_is_refused_with_the_reason() -> None:
    with pytest.raises(HardwareError, match=r"no GPU is visible here; NVIDIA's driver is not installed here"):
        visible_gpus((), {"CUDA_VISIBLE_DEVICES": "0"}, ("NVIDIA's driver is not installed here",))


@pytest.mark.parametrize(
    ("value", "uuids"),
    [
        (MIG_UUIDS[1], [MIG_UUIDS[1]]),
        ("MIG-4a", [MIG_UUIDS[0]]),
        (f"MIG-{UUIDS[0]}/2/0", [MIG_UUIDS[1]]),
        (f"{MIG_UUIDS[1]},{MIG_UUIDS[0]}", [MIG_UUIDS[1], MIG_UUIDS[0]]),
        ("0", list(MIG_UUIDS)),
        (UUIDS[0], list(MIG_UUIDS)),
        ("GPU-8", list(MIG_UUIDS)),
        ("1,0", [UUIDS[2], *MIG_UUIDS]),
    ],
)
def test_mig(value: str, uuids: list[str]) -> None:
    assert cuda(value, DIVIDED) == uuids


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("MIG-4", "is the beginning of several"),
        (f"MIG-{UUIDS[0]}", "is the beginning of several"),
        (f"MIG-{UUIDS[0]}/7/0", "names no device"),
        (f"{MIG_UUIDS[0]},MIG-{UUIDS[0]}/1/0", "is in it twice"),
        (f"{UUIDS[2]},{MIG_UUIDS[0]}", "it mixes GPU UUIDs and MIG names"),
        ("0,1,0", "is in it twice"),
    ],
)
def test_mig_refused(value: str, why: str) -> None:
    with pytest.raises(HardwareError, match=re.escape(why)):
        cuda(value, DIVIDED)


MIXED = (FOUR[0], Gpu(index=1, name="NVIDIA RTX PRO 6000 Blackwell Server Edition", uuid=UUIDS[1]))


def test_fastest_first_makes_indexes_of_different_gpus_unclear() -> None:
    with pytest.raises(HardwareError, match="the GPUs differ") as caught:
        cuda("1", MIXED, CUDA_DEVICE_ORDER="FASTEST_FIRST")
    assert caught.value.hint == "CUDA_DEVICE_ORDER=PCI_BUS_ID, or UUIDs in CUDA_VISIBLE_DEVICES"


def test_fastest_first_is_clear_for_equal_gpus_for_uuids_and_without_a_list() -> None:
    order = {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    assert cuda("1", FOUR, **order) == [UUIDS[1]]
    assert cuda(UUIDS[1], MIXED, **order) == [UUIDS[1]]
    assert visible_gpus(MIXED, order) == MIXED


@pytest.mark.parametrize("order", ["PCI_BUS_ID", ""])
def test_pci_order_and_none_are_ours(order: str) -> None:
    assert cuda("1", MIXED, CUDA_DEVICE_ORDER=order) == [UUIDS[1]]


def test_an_order_that_cuda_does_not_know_is_refused() -> None:
    with pytest.raises(
        HardwareError, match=r'cannot use CUDA_DEVICE_ORDER "PCI": CUDA does not know it'
    ) as caught:
        cuda("1", CUDA_DEVICE_ORDER="PCI")
    assert caught.value.allowed == ("PCI_BUS_ID", "FASTEST_FIRST")


@pytest.mark.parametrize(
    "value",
    [
        "all",
        "void",
        "",
        " ",
        "0",
        "5,6",
        "0:0",
        "1:0,1:1",
        "nvidia.com/gpu=0",
        "runtime.nvidia.com/gpu=all",
        "/var/run/nvidia-container-devices",
        f"0,{UUIDS[1]}",
    ],
)
def test_the_runtime_does_not_hide_twice(value: str) -> None:
    assert runtime(value) == list(UUIDS)


def test_the_runtime_none_is_none() -> None:
    assert runtime("none") == []
    assert hiding_variable({"NVIDIA_VISIBLE_DEVICES": "none"}) == 'NVIDIA_VISIBLE_DEVICES="none"'


def test_the_runtime_narrows_by_uuid_and_orders_nothing() -> None:
    assert runtime(f"{UUIDS[2]},{UUIDS[0]}") == [UUIDS[0], UUIDS[2]]
    assert runtime("GPU-1b2c3d4e") == [UUIDS[2]]
    assert runtime(MIG_UUIDS[1], DIVIDED) == [MIG_UUIDS[1]]
    assert runtime(UUIDS[0], DIVIDED) == list(MIG_UUIDS)


@pytest.mark.parametrize("gpus", [FOUR, ()])
def test_a_gpu_that_the_runtime_promised_and_that_is_not_there(gpus: tuple[Gpu, ...]) -> None:
    with pytest.raises(
        HardwareError, match=r'cannot use NVIDIA_VISIBLE_DEVICES "GPU-dead": "GPU-dead"'
    ) as caught:
        runtime("GPU-dead", gpus)
    assert "NVIDIA_VISIBLE_DEVICES=void" in (caught.value.hint or "")


def test_both_variables_agree_or_are_refused() -> None:
    granted = {"NVIDIA_VISIBLE_DEVICES": f"{UUIDS[1]},{UUIDS[2]}"}
    assert cuda("2,1", FOUR, **granted) == [UUIDS[2], UUIDS[1]]
    with pytest.raises(
        HardwareError, match=r"NVIDIA_VISIBLE_DEVICES does not grant 0 \(GPU-8932f937"
    ) as caught:
        cuda("1,0", FOUR, **granted)
    assert len(caught.value.allowed) == 2


@given(st.permutations(range(4)), st.integers(0, 4), st.booleans(), st.booleans())
def test_the_users_order_is_kept(order: list[int], count: int, by_uuid: bool, ended: bool) -> None:
    wanted = order[:count]
    value = ",".join([UUIDS[i] if by_uuid else str(i) for i in wanted] + ["-1"] * ended)
    assert cuda(value) == [UUIDS[i] for i in wanted]


@given(st.text(alphabet="0123456789-,GPUMIabcdef /", max_size=30))
def test_any_text_is_an_order_of_existing_gpus_or_an_error_in_words(value: str) -> None:
    found: list[str | None] = []
    refused = f'cannot use CUDA_VISIBLE_DEVICES "{value}": '
    try:
        found = cuda(value, DIVIDED)
    except HardwareError as error:
        refused = error.message
    assert refused.startswith(f'cannot use CUDA_VISIBLE_DEVICES "{value}": ')
    assert len(set(found)) == len(found)
    assert set(found) <= {gpu.uuid for gpu in DIVIDED}


@given(st.sets(st.sampled_from(UUIDS), min_size=1))
def test_what_the_runtime_has_applied_is_applied_once(uuids: set[str]) -> None:
    value = ",".join(sorted(uuids))
    applied = tuple(gpu for gpu in FOUR if gpu.uuid in uuids)
    assert visible_gpus(applied, {"NVIDIA_VISIBLE_DEVICES": value}) == applied
