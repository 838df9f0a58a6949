"""Paths that are not a model's directory: the explanation and the path to use."""

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from nim.errors import WeightsError
from nim.models.checkpoint.read_local_model import read_local_model
from tests.unit.models.checkpoint.directories import CONFIG, Content, cached, make, safetensors

ST: Content = safetensors()


def refusal(directory: Path, files: Mapping[str, Content]) -> WeightsError:
    with pytest.raises(WeightsError) as error:
        read_local_model(make(directory, files), "NIM_MODEL_PATH")
    assert error.value.message.startswith(
        f"cannot use '{directory}' (from NIM_MODEL_PATH): it has no config.json"
    )
    return error.value


def text_value(key: str, value: str) -> bytes:
    """Return an entry of a GGUF file's metadata."""
    parts = (key.encode(), value.encode())
    return struct.pack("<Q", len(parts[0])) + parts[0] + struct.pack("<IQ", 8, len(parts[1])) + parts[1]


@pytest.mark.parametrize(
    ("files", "why", "hint"),
    [
        ({}, "it is empty", "mount the model there"),
        ({"README.md": "x"}, "", "the directory must hold the model's files themselves"),
        (
            {"m.gguf": b"GGUF"},
            "GGUF files, which vLLM 0.32 does not load (m.gguf)",
            "its AWQ, GPTQ or FP8 version",
        ),
        ({"Q4/m-00001-of-00002.gguf": b"GGUF"}, "GGUF files", "its AWQ, GPTQ or FP8 version"),
        ({"rank0.engine": b"x"}, "a TensorRT engine", "hf://"),
        ({"model.nemo": b"x"}, "a NeMo checkpoint", "hf://"),
        ({"weights/__0_0.distcp": b"x", "context/model.yaml": ""}, "a NeMo checkpoint", "hf://"),
        ({"model.onnx": b"x"}, "ONNX files", "hf://"),
        (
            {"params.json": "{}", "consolidated.00.pth": b"x"},
            "Meta's original checkpoint",
            "hf://meta-llama/",
        ),
        ({"latest_checkpointed_iteration.txt": "1"}, "a Megatron training checkpoint", "hf://"),
        (
            {"model_index.json": {}, "text_encoder/config.json": CONFIG},
            "a diffusers pipeline",
            "a language model",
        ),
        ({"llama.zip": b"PK"}, "an archive (llama.zip)", "unpack it"),
        ({"model.safetensors": ST}, "the download is not complete", "hf download"),
        ({"model.safetensors.incomplete": ST}, "the download was not finished", "hf download"),
        ({"weights.npz": b"x"}, "MLX weights", "hf://"),
        ({"openvino_model.bin": b"x", "openvino_model.xml": ""}, "an OpenVINO model", "hf://"),
    ],
)
def test_a_directory_of_something_else(
    tmp_path: Path, files: Mapping[str, Content], why: str, hint: str
) -> None:
    error = refusal(tmp_path / "model", files)
    assert why in error.message
    assert hint in (error.hint or "")


def test_the_repository_that_a_gguf_was_made_from(tmp_path: Path) -> None:
    base = text_value("general.base_model.0.repo_url", "https://huggingface.co/org/base")
    content = b"GGUF" + bytes(20) + text_value("general.architecture", "llama") + base + bytes(100)
    assert (
        refusal(tmp_path, {"m.gguf": content}).hint
        == "NIM_MODEL_PATH=hf://org/base, which the GGUF was made from"
    )
    with pytest.raises(WeightsError, match="it is not a directory but GGUF files") as error:
        read_local_model(tmp_path / "m.gguf", "here")
    assert error.value.hint == "NIM_MODEL_PATH=hf://org/base, which the GGUF was made from"


@pytest.mark.parametrize(
    ("config", "what", "hint"),
    [
        (
            {"base_model_name_or_path": "org/base", "r": 8},
            "a LoRA adapter for org/base",
            "hf://org/base NIM_PASSTHROUGH",
        ),
        (
            {"base_model_name_or_path": "/models/base"},
            "a LoRA adapter for /models/base",
            "NIM_MODEL_PATH=/models/base ",
        ),
        ({"r": 48}, "a LoRA adapter, not a model", "--max-lora-rank 64"),
        ({"peft_type": "PREFIX_TUNING"}, "an adapter of the kind PREFIX_TUNING", "hf://… its base model"),
        ("{", "a LoRA adapter", "--lora-modules"),
    ],
)
def test_an_adapter(tmp_path: Path, config: Content, what: str, hint: str) -> None:
    directory = tmp_path / "mine"
    error = refusal(directory, {"adapter_config.json": config, "adapter_model.safetensors": ST})
    assert what in error.message
    assert hint in (error.hint or "")
    if "LoRA" in what:
        assert f"--enable-lora --lora-modules mine={directory}" in (error.hint or "")


def test_the_hub_s_cache(tmp_path: Path) -> None:
    """Its part for one repository, the cache, and the client's home above it."""
    hub = tmp_path / "huggingface" / "hub"
    snapshot = cached(hub, {"config.json": CONFIG})
    error = refusal(hub / "models--org--name", {})
    assert error.message.endswith(": it is the hub's cache of org/name")
    assert error.hint == f"NIM_MODEL_PATH={snapshot}"
    cached(hub, {"config.json": CONFIG}, name="org/other")
    for directory in (hub, tmp_path / "huggingface"):
        error = refusal(directory, {})
        assert error.hint == "NIM_MODEL_PATH=hf://org/name"
        assert error.allowed == ("org/name", "org/other")


def test_of_several_states_that_of_main_is_meant_or_the_newest(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, {"config.json": CONFIG}, commit="abc")
    cached(tmp_path, {"config.json": CONFIG}, commit="def")
    make(tmp_path / "models--org--name", {"refs/main": "abc"})
    assert refusal(tmp_path / "models--org--name", {}).hint == f"NIM_MODEL_PATH={snapshot}"
    make(tmp_path / "models--org--name", {"refs/main": "gone"})
    assert "/snapshots/" in (refusal(tmp_path / "models--org--name", {}).hint or "")


def test_models_below(tmp_path: Path) -> None:
    model: dict[str, Content] = {"config.json": CONFIG, "model.safetensors": ST}
    make(tmp_path / "org" / "one", model)
    error = refusal(tmp_path, {})
    assert error.message.endswith(", but what lies below it has")
    assert error.hint == f"NIM_MODEL_PATH={tmp_path}/org/one"
    assert error.allowed == ()
    make(tmp_path / "checkpoint-500", model)
    make(tmp_path / "1_Pooling", {"config.json": "{}"})
    assert refusal(tmp_path, {}).allowed == (f"{tmp_path}/checkpoint-500", f"{tmp_path}/org/one")


@pytest.mark.parametrize(
    ("name", "why", "hint"),
    [
        ("model.safetensors", "it is not a directory", "NIM_MODEL_PATH={parent}"),
        ("config.json", "it is not a directory", "NIM_MODEL_PATH={parent}"),
        ("other/model.tar.gz", "it is not a directory but an archive", "unpack it"),
        ("other/model.nemo", "it is not a directory but a NeMo checkpoint", "hf://"),
        ("other/notes.txt", "it is not a directory", "NIM_MODEL_PATH=…"),
        ("nowhere", "there is no such directory", "as the container sees it"),
        ("dangling", "it is a link to '/nowhere', which is not there", "as the container sees it"),
    ],
)
def test_a_path_that_is_no_directory(tmp_path: Path, name: str, why: str, hint: str) -> None:
    others = ("other/model.tar.gz", "other/model.nemo", "other/notes.txt")
    make(tmp_path, {"config.json": CONFIG, "model.safetensors": ST, **dict.fromkeys(others, "x")})
    (tmp_path / "dangling").symlink_to("/nowhere")
    with pytest.raises(WeightsError) as error:
        read_local_model(tmp_path / name, "here")
    assert error.value.message.endswith(f"(from here): {why}") or f": {why}" in error.value.message
    assert hint.format(parent=tmp_path) in (error.value.hint or "")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (LFS := b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"  <html>not allowed", "a web page"),
        (b"{", "cannot read"),
        (b"[]", "it is not a JSON object"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"{'a': 1}", "cannot read"),
        (b"\xff\xfe", "cannot read"),
    ],
)
def test_a_configuration_that_the_engine_cannot_read(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(WeightsError, match=why) as error:
        read_local_model(make(tmp_path, {"config.json": content, "model.safetensors": ST}), "here")
    assert str(tmp_path / "config.json") in error.value.message
    assert error.value.hint


def test_unusual_layouts_that_load_are_accepted(tmp_path: Path) -> None:
    """Sentence transformers, and a model beside its ONNX and GGUF versions."""
    files: dict[str, Content] = {
        "config.json": CONFIG,
        "model.safetensors": ST,
        "modules.json": "[]",
        "1_Pooling/config.json": "{}",
        "onnx/model.onnx": b"x",
        "m.gguf": b"x",
        "runs/events.out": b"x",
    }
    assert read_local_model(make(tmp_path, files), "here").findings == ()
