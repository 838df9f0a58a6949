"""Inputs of the choice of a profile: every user layer, and the model's own files."""

from pathlib import Path
from typing import Any

import pytest

from nim.errors import NimError, ProfileError
from nim.hardware import hardware_from_gpus
from nim.plan import Plan
from nim.planning.plan_request import Request
from nim.planning.planner import decide
from nim.selection.select import Selection
from nim.settings import read_settings
from tests.unit.models.checkpoint.directories import Content, cached, make, safetensors, sparse
from tests.unit.selection.models import LLAMA_8B, LLAMA_70B, SIZES


def chosen(*arguments: str, gpus: str = "8xH100", **environ: str) -> Selection:
    return planned(*arguments, gpus=gpus, **environ)[1]


def planned(*arguments: str, gpus: str = "8xH100", **environ: str) -> tuple[Plan, Selection]:
    environ = {"HOME": "/home/user", **environ}
    request = Request(
        settings=read_settings(environ),
        environ=environ,
        hardware=hardware_from_gpus(gpus),
        arguments=arguments,
        other_machine=True,
    )
    return decide(request)


def refused(*arguments: str, **more: Any) -> NimError:
    with pytest.raises(NimError) as caught:
        chosen(*arguments, **more)
    return caught.value


@pytest.fixture
def small(tmp_path: Path) -> str:
    """Return Llama 8B's configuration, as far as planning reads it."""
    directory = make(tmp_path / "small", {"config.json": LLAMA_8B})
    sparse(directory / "model.safetensors", SIZES["8B"])
    return str(directory)


WAYS: list[tuple[tuple[str, ...], dict[str, str]]] = [
    (("--data-parallel-size", "8"), {}),
    ((), {"NIM_PASSTHROUGH_ARGS": "--data-parallel-size 8"}),
    ((), {"NIM_PASSTHROUGH_ARGS": "-dp 8"}),
]


@pytest.mark.parametrize(("arguments", "environ"), WAYS)
def test_replicas_wherever_they_are_written(
    small: str, arguments: tuple[str, ...], environ: dict[str, str]
) -> None:
    selection = chosen(*arguments, NIM_MODEL_PATH=small, **environ)
    assert selection.chosen.label == "vllm-bf16-tp1-pp1"
    assert len(selection.devices) == 8


@pytest.mark.parametrize("where", ["variable", "passthrough", "command line", "runtime_config"])
def test_length_and_cache_wherever_they_are_written(small: str, where: str) -> None:
    """57,344 tokens in FP8 go into an L4 beside 16 GB of weights, in 16 bits they do not."""
    flags = ("--max-model-len", "57344", "--kv-cache-dtype", "fp8")
    environ = {
        "variable": {"NIM_MAX_MODEL_LEN": "57344", "NIM_KV_CACHE_DTYPE": "fp8"},
        "passthrough": {"NIM_PASSTHROUGH_ARGS": " ".join(flags)},
    }.get(where, {})
    if where == "runtime_config":
        make(Path(small), {"runtime_config.json": {"max_model_len": 57344, "kv_cache_dtype": "fp8"}})
    selection = chosen(
        *(flags if where == "command line" else ()), gpus="1xL4", NIM_MODEL_PATH=small, **environ
    )
    assert selection.estimate.max_model_len == 57344
    refused(gpus="1xL4", NIM_MODEL_PATH=small, NIM_MAX_MODEL_LEN="57344", NIM_KV_CACHE_DTYPE="auto")


@pytest.mark.parametrize(
    ("arguments", "environ", "hint"),
    [
        ((), {"NIM_TENSOR_PARALLEL_SIZE": "3"}, "NIM_TENSOR_PARALLEL_SIZE=4"),
        (("--tensor-parallel-size", "3"), {}, "--tensor-parallel-size 4"),
        ((), {"NIM_PASSTHROUGH_ARGS": "-tp 3"}, "--tensor-parallel-size 4"),
    ],
)
def test_a_working_size_is_suggested_where_it_takes_effect(
    small: str, arguments: tuple[str, ...], environ: dict[str, str], hint: str
) -> None:
    error = refused(*arguments, gpus="6xH100", NIM_MODEL_PATH=small, **environ)
    assert "32 attention heads cannot be split over 3 GPUs" in error.message
    assert error.hint is not None
    assert error.hint.startswith(hint)


def test_a_variable_of_the_engine_takes_effect(small: str) -> None:
    long = {"NIM_MODEL_PATH": small, "NIM_MAX_MODEL_LEN": "200000"}
    assert "the engine takes at most 131072" in refused(gpus="1xH200", **long).message
    assert chosen(gpus="1xH200", VLLM_ALLOW_LONG_MAX_MODEL_LEN="1", **long).devices


def test_files_in_the_hubs_cache_are_read(tmp_path: Path) -> None:
    files: dict[str, Content] = {"config.json": LLAMA_70B, "model.safetensors": safetensors()}
    hub = cached(tmp_path / "cache" / "huggingface" / "hub", files).parent
    environ = {"NIM_MODEL_PATH": "hf://org/name", "NIM_CACHE_PATH": str(tmp_path / "cache")}
    assert hub.exists()
    selection = chosen(gpus="6xH100", **environ)
    assert selection.winner.parallel.tensor == 4
    error = refused(gpus="6xH100", NIM_TENSOR_PARALLEL_SIZE="6", **environ)
    assert "64 attention heads cannot be split over 6 GPUs" in error.message


def test_model_that_is_not_here_is_judged_by_nothing() -> None:
    assert chosen(gpus="6xH100", NIM_MODEL_PATH="hf://org/name", NIM_TENSOR_PARALLEL_SIZE="6").devices


def test_files_that_a_person_names_are_those_of_a_manifests_profiles(small: str) -> None:
    environ = {"NIM_MODEL_NAME": "meta/llama-3.3-70b-instruct", "NIM_MODEL_PATH": small}
    assert "the engine takes at most 131072" in refused(NIM_MAX_MODEL_LEN="200000", **environ).message


def test_hf_overrides_reach_the_reading(small: str) -> None:
    overrides = '{"max_position_embeddings": 4096}'
    assert chosen("--hf-overrides", overrides, NIM_MODEL_PATH=small).estimate.max_model_len == 4096


def test_weights_are_not_needed_where_none_are_loaded(tmp_path: Path) -> None:
    directory = make(tmp_path / "model", {"config.json": LLAMA_8B})
    selection = chosen("--load-format", "dummy", gpus="1xH100", NIM_MODEL_PATH=str(directory))
    assert selection.estimate.weights_bytes == pytest.approx(SIZES["8B"], rel=0.01)


def test_configuration_that_cannot_be_read_is_refused_as_such(tmp_path: Path) -> None:
    directory = make(tmp_path / "model", {"config.json": "{", "model.safetensors": safetensors()})
    assert not isinstance(refused(NIM_MODEL_PATH=str(directory)), ProfileError)


@pytest.mark.parametrize(
    ("arguments", "context"),
    [((), 131072), (("--max-model-len", "8k"), 8000), (("--max-model-len", "auto"), None)],
)
def test_plan_says_which_context_is_served(
    small: str, arguments: tuple[str, ...], context: int | None
) -> None:
    plan, _ = planned(*arguments, NIM_MODEL_PATH=small)
    assert plan.model.max_model_len == context
