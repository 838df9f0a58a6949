"""What is read ahead of the engine: which files, in which order, and how much memory they may take."""

from dataclasses import replace
from pathlib import Path

import pytest

from nim.hardware.types import GIB, Hardware
from nim.models.checkpoint.list_model_directory import ModelFiles
from nim.models.checkpoint.read_local_model import LocalModel
from nim.models.checkpoint.weight_bytes_by_type import Weights
from nim.planning.plan_read_ahead import read_ahead_of
from nim.selection.select import Selection
from nim.value_origins import Layer, Origin, Value
from tests.unit.planning.test_read_host_facts import chosen
from tests.unit.selection.machines import NOTHING, machine

NAMES = ("model-10.safetensors", "model-2.safetensors", "model-1.safetensors")


def local(gib: int, load_format: str = "auto") -> LocalModel:
    files = ModelFiles(directory=Path("/weights"), names=frozenset(NAMES), broken=frozenset())
    weights = Weights(files=NAMES, file_bytes=gib * GIB, tensor_bytes={"BF16": gib * GIB})
    return LocalModel(files=files, load_format=load_format, config={}, weights=weights, findings=())


def host(hardware: Hardware, *, free: int | None, limit: int | None = None) -> Hardware:
    return replace(
        hardware,
        host_memory_available_bytes=None if free is None else free * GIB,
        memory_limit_bytes=None if limit is None else limit * GIB,
    )


def on_gpus(hardware: Hardware) -> Selection:
    """Return a selection of the demo for a CPU, taken as one for two GPUs."""
    selection = chosen(NOTHING)
    profile = replace(selection.profile, tags={**selection.profile.tags, "gpu": "h100"})
    return replace(selection, profile=profile, devices=hardware.gpus[:2])


def test_files_are_in_the_order_in_which_vllm_loads_them() -> None:
    read = read_ahead_of(local(1), {}, chosen(NOTHING), host(NOTHING, free=64))
    assert read is not None
    assert [Path(file).name for file in read.files] == [
        f"model-{number}.safetensors" for number in (1, 2, 10)
    ]
    assert read.limit_bytes == GIB


@pytest.mark.parametrize(
    ("free", "limit", "gib"),
    [(64, None, 10), (20, None, 7), (64, 20, 7), (13, None, None), (None, None, None), (None, 64, 10)],
)
def test_on_a_cpu_the_engine_has_its_own_copy_of_the_weights(
    free: int | None, limit: int | None, gib: int | None
) -> None:
    """Ten GiB of weights: ten more for the copy, and three for the programs."""
    read = read_ahead_of(local(10), {}, chosen(NOTHING), host(NOTHING, free=free, limit=limit))
    assert (read and read.limit_bytes) == (None if gib is None else gib * GIB)


@pytest.mark.parametrize("load_format", ["runai_streamer", "fastsafetensors", "instanttensor", "tensorizer"])
def test_loaders_that_stream_past_the_page_cache_are_left_alone(load_format: str) -> None:
    assert read_ahead_of(local(1, load_format), {}, chosen(NOTHING), host(NOTHING, free=64)) is None


def test_weights_that_are_not_there_are_not_read() -> None:
    assert read_ahead_of(None, {}, chosen(NOTHING), host(NOTHING, free=64)) is None
    assert read_ahead_of(replace(local(1), weights=None), {}, chosen(NOTHING), host(NOTHING, free=64)) is None


@pytest.mark.parametrize(("offload", "gib"), [(None, 100), (40, 31)])
def test_on_gpus_what_is_offloaded_to_the_host_is_not_free(offload: int | None, gib: int) -> None:
    """Each of two GPUs takes 3 GiB and what is offloaded; the API server 3 more."""
    hardware = machine("2xH100")
    origin = Origin(layer=Layer.ENV, place="a test")
    config = {"cpu_offload_gb": Value(value=offload, origin=origin, previous=())} if offload else {}
    read = read_ahead_of(local(100), config, on_gpus(hardware), host(hardware, free=120))
    assert read is not None
    assert read.limit_bytes == gib * GIB
