"""The bytes that weights take once they are served."""

from pathlib import Path
from typing import Any

import pytest

from nim.models.checkpoint.read_local_model import read_local_model
from nim.models.checkpoint.weight_bytes_by_type import Weights, is_quantized
from tests.unit.models.checkpoint.directories import CONFIG, make, safetensors, sparse

QUANTIZED = {"quantization_config": {"quant_method": "fp8"}}


def weights_in(directory: Path) -> Weights:
    found = read_local_model(directory, "here").weights
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("tensors", "element_bytes", "quantized", "expected"),
    [
        ({"BF16": 100}, 2, False, 100),
        ({"F32": 100}, 2, False, 50),
        ({"F32": 100}, 4, False, 100),
        ({"F64": 100}, 2, False, 25),
        ({"F16": 100, "F32": 100}, 4, False, 300),
        ({"F8_E4M3": 100, "F32": 8}, 2, True, 108),
        ({"U8": 100, "I64": 8}, 2, False, 108),
        ({None: 100}, 2, False, 100),
    ],
)
def test_floats_are_served_in_another_size(
    tensors: dict[str | None, int], element_bytes: int, quantized: bool, expected: int
) -> None:
    weights = Weights(files=("a",), file_bytes=0, tensor_bytes=tensors)
    assert weights.loaded_bytes(element_bytes, quantized=quantized) == expected


def test_headers_are_not_counted(tmp_path: Path) -> None:
    found = weights_in(
        make(tmp_path, {"config.json": CONFIG, "model.safetensors": safetensors({"BF16": 50})})
    )
    assert found.loaded_bytes() == 100
    assert found.file_bytes == (tmp_path / "model.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"torch_dtype": "float32"}, 500),
        ({"dtype": "float32"}, 500),
        ({"text_config": {"dtype": "float32"}}, 500),
        ({"torch_dtype": "bfloat16"}, 1000),
        ({}, 1000),
        ({"torch_dtype": "float32"} | QUANTIZED, 1000),
        ({"dtype": "float32", "text_config": QUANTIZED}, 1000),
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_the_configuration_gives_the_type_of_a_file_without_a_header(
    tmp_path: Path, name: str, config: dict[str, Any], expected: int
) -> None:
    make(tmp_path, {"config.json": config})
    sparse(tmp_path / name, 1000)
    assert weights_in(tmp_path).loaded_bytes(quantized=is_quantized(config)) == expected
