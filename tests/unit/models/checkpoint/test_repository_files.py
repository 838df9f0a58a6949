"""Repositories judged by the names of their files, before anything is fetched."""

import pytest

from nim.errors import WeightsError
from nim.models.checkpoint.repository_files import files_to_fetch
from nim.models.hub.repositories import ORIGINALS

MODEL = ("config.json", "tokenizer.json", "model.safetensors")


def fetched(*names: str, load_format: str | None = "auto", index: tuple[str, ...] = ()) -> tuple[str, ...]:
    return files_to_fetch("hf://org/name", names, load_format, ORIGINALS, index)


def test_a_model_and_what_is_beside_it() -> None:
    others = ("pytorch_model.bin", "m.gguf", "original/consolidated.00.pth", "README.md")
    assert fetched(*MODEL, *others) == ("README.md", *sorted(MODEL))
    assert fetched("params.json", "consolidated.safetensors") == ("consolidated.safetensors", "params.json")


def test_a_tokenizer_s_repository_needs_no_weights() -> None:
    assert fetched("tokenizer.json", "m.gguf", load_format=None) == ("tokenizer.json",)
    assert fetched("config.json", load_format="dummy") == ("config.json",)


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (
            ("config.json", "m.Q4.gguf"),
            "GGUF files, which vLLM 0.32 does not load (m.Q4.gguf)",
            "AWQ, GPTQ or FP8",
        ),
        (("m.Q4.gguf",), "GGUF files", "AWQ, GPTQ or FP8"),
        (
            ("adapter_config.json", "adapter_model.safetensors"),
            "it is an adapter",
            "--lora-modules NAME=org/name",
        ),
        (("model_index.json", "unet/diffusion.safetensors"), "a diffusers pipeline", "a language model"),
        (("model.safetensors",), "it has no config.json", "hf://…"),
        (("params.json", "model.safetensors"), "it has no config.json", "hf://…"),
        (
            ("config.json", "onnx/model.onnx"),
            "no weights among its 2 files that vLLM loads; it holds ONNX",
            "hf://",
        ),
        (("config.json", "README.md"), "no weights among its 2 files that vLLM loads", "hf://…"),
    ],
)
def test_what_makes_no_model_is_refused(names: tuple[str, ...], message: str, hint: str) -> None:
    with pytest.raises(WeightsError) as error:
        fetched(*names)
    assert error.value.message.startswith("cannot use hf://org/name: ")
    assert message in error.value.message
    assert hint in (error.value.hint or "")


def test_an_index_that_names_what_the_repository_has_not() -> None:
    with pytest.raises(WeightsError, match=r"index\.json names b\.safetensors, which is not there"):
        fetched(*MODEL, "a.safetensors", index=("a.safetensors", "b.safetensors"))
