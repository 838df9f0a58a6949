"""Hardware in a file: equal after a round trip, and read strictly."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.errors import HardwareError
from nim.hardware import (
    Gpu,
    Hardware,
    Mig,
    detect_hardware,
    hardware_from_gpus,
    hardware_from_json,
    hardware_to_json,
    load_hardware,
)

size = st.none() | st.integers(0, 1 << 60)
text = st.none() | st.text(max_size=20)
count = st.none() | st.integers(0, 64)
migs = st.builds(Mig, profile=text, parent_uuid=text, gpu_instance_id=count, compute_instance_id=count)


@st.composite
def gpus(draw: st.DrawFn) -> Gpu:
    total = draw(size)
    free = draw(st.none() | st.integers(0, 1 << 60 if total is None else total))
    return Gpu(
        index=draw(st.integers(0, 1024)),
        name=draw(text),
        uuid=draw(text),
        pci_address=draw(text),
        pci_id=draw(st.none() | st.from_regex(r"[0-9a-f]{4}:[0-9a-f]{4}", fullmatch=True)),
        memory_total_bytes=total,
        memory_free_bytes=free,
        compute_capability=draw(st.none() | st.tuples(st.integers(0, 20), st.integers(0, 9))),
        unified_memory=draw(st.none() | st.booleans()),
        utilization_percent=draw(st.none() | st.integers(0, 100)),
        mig=draw(st.none() | migs),
    )


hardwares = st.builds(
    Hardware,
    gpus=st.lists(
        gpus(), max_size=4, unique_by=lambda gpu: gpu.uuid if gpu.uuid is not None else object()
    ).map(tuple),
    source=st.text(max_size=20),
    driver_version=text,
    cuda_version=text,
    notes=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    cpu_count=count,
    cpu_quota=st.none() | st.floats(0, 1024),
    cpu_arch=text,
    host_memory_bytes=size,
    host_memory_available_bytes=size,
    memory_limit_bytes=size,
    shm_bytes=size,
    shm_free_bytes=size,
)


@given(hardwares)
def test_a_round_trip_changes_nothing(hardware: Hardware) -> None:
    assert hardware_from_json(hardware_to_json(hardware), origin="here") == hardware


def test_this_machines_own(tmp_path: Path) -> None:
    hardware = detect_hardware({})
    path = tmp_path / "box.json"
    path.write_text(hardware_to_json(hardware), encoding="utf-8")
    assert load_hardware(path) == replace(hardware, source=f"file {path}")


def test_the_file_begins_with_what_matters() -> None:
    data = json.loads(hardware_to_json(hardware_from_gpus("2xB200")))
    assert list(data)[:3] == ["format", "source", "gpus"]
    assert set(data) == {"format"} | {field.name for field in fields(Hardware)}
    assert set(data["gpus"][0]) == {field.name for field in fields(Gpu)}
    assert data["gpus"][0]["compute_capability"] == [10, 0]


def broken(**changes: Any) -> str:
    """Return a good file with fields replaced; `...` removes one, `gpus__name` is the first GPU's."""
    data: dict[str, Any] = json.loads(hardware_to_json(hardware_from_gpus("2xH200")))
    for name, value in changes.items():
        target = data["gpus"][0] if name.startswith("gpus__") else data
        name = name.removeprefix("gpus__")
        if value is ...:
            del target[name]
        else:
            target[name] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": ...}, "its format is null, and this release reads 1"),
        ({"format": 2}, "its format is 2, and this release reads 1"),
        ({"format": True}, "its format is true, and this release reads 1"),
        ({"gpus": ...}, "gpus is missing; write null where it is unknown"),
        ({"source": None}, "source must be a text, and is null"),
        ({"gpus": None}, "gpus must be a list, and is null"),
        ({"gpus": {}}, "gpus must be a list, and is {}"),
        ({"gpus": [5]}, "gpus[0] must be an object, and is 5"),
        ({"driver": "580"}, "driver is not a field"),
        ({"driver_verson": "580"}, 'driver_verson is not a field, like "driver_version"'),
        ({"gpus__memory_total": 5}, 'gpus[0].memory_total is not a field, like "memory_total_bytes"'),
        ({"gpus__uuid": ...}, "gpus[0].uuid is missing"),
        ({"gpus__index": None}, "gpus[0].index must be a whole number from 0, and is null"),
        ({"gpus__index": -1}, "gpus[0].index must be a whole number from 0, and is -1"),
        ({"gpus__index": True}, "gpus[0].index must be a whole number from 0, and is true"),
        ({"gpus__name": 5}, "gpus[0].name must be a text, and is 5"),
        (
            {"gpus__memory_total_bytes": "80GB"},
            'gpus[0].memory_total_bytes must be a whole number from 0, and is "80GB"',
        ),
        (
            {"gpus__memory_total_bytes": 1.5},
            "gpus[0].memory_total_bytes must be a whole number from 0, and is 1.5",
        ),
        ({"gpus__memory_total_bytes": 5}, "gpus[0].memory_free_bytes is more than its memory_total_bytes"),
        (
            {"gpus__compute_capability": "9.0"},
            'gpus[0].compute_capability must be two whole numbers, as [9, 0], and is "9.0"',
        ),
        ({"gpus__compute_capability": [9]}, "must be two whole numbers"),
        (
            {"gpus__compute_capability": [9, "0"]},
            "gpus[0].compute_capability[1] must be a whole number from 0",
        ),
        ({"gpus__unified_memory": 1}, "gpus[0].unified_memory must be true, false or null, and is 1"),
        (
            {"gpus__pci_id": "10DE:2335"},
            'gpus[0].pci_id must be a "device:vendor" like "2335:10de", and is "10DE:2335"',
        ),
        ({"gpus__utilization_percent": 101}, "gpus[0].utilization_percent must be from 0 to 100, and is 101"),
        ({"gpus__mig": "1g.10gb"}, 'gpus[0].mig must be an object, and is "1g.10gb"'),
        ({"gpus__mig": {}}, "gpus[0].mig.profile is missing"),
        ({"notes": [1]}, "notes[0] must be a text, and is 1"),
        ({"cpu_quota": "2"}, 'cpu_quota must be a number from 0, and is "2"'),
        ({"cpu_quota": -0.5}, "cpu_quota must be a number from 0, and is -0.5"),
        ({"driver_version": ["x" * 100]}, 'driver_version must be a text, and is ["xxx'),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(HardwareError, match=re.escape(why)) as caught:
        hardware_from_json(broken(**changes), origin="box.json")
    assert caught.value.message.startswith('cannot read hardware from "box.json": ')
    assert caught.value.hint == "nim hardware --json > FILE writes one"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("[]", "it is not an object"),
        ("null", "it is not an object"),
        ('{"format": 1, "format": 1}', '"format" is written twice'),
        ('{"format": NaN}', "NaN is not a number that it can hold"),
        ("[" * 100_000, "cannot read hardware"),
        ('{"format": ' + "9" * 5000 + "}", "it is not JSON"),
    ],
)
def test_what_is_not_such_a_file(text: str, why: str) -> None:
    with pytest.raises(HardwareError, match=re.escape(why)):
        hardware_from_json(text, origin="box.json")


def test_the_same_gpu_twice() -> None:
    twice = replace(hardware_from_gpus("H200"), gpus=(Gpu(index=0, uuid="GPU-1"), Gpu(index=1, uuid="GPU-1")))
    with pytest.raises(HardwareError, match=re.escape('gpus[1].uuid "GPU-1" is another GPU\'s, too')):
        hardware_from_json(hardware_to_json(twice), origin="box.json")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HardwareError, match=r'nowhere.json": No such file or directory'):
        load_hardware(tmp_path / "nowhere.json")
    with pytest.raises(HardwareError, match="Is a directory"):
        load_hardware(str(tmp_path))
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(HardwareError, match="it is not UTF-8 text"):
        load_hardware(binary)
