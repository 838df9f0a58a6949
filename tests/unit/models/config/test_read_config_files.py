"""Files of a directory, read into a configuration."""

import json
from pathlib import Path
from typing import Any

import pytest

from nim.models.config.read_config_files import config_from, indexed_bytes, read_config
from tests.unit.models.models import LLAMA

PARAMS = {"dim": 2048, "n_layers": 4, "n_heads": 16}
POOLING = "sentence_transformers.models.Pooling"


def write(directory: Path, **files: Any) -> Path:
    for name, values in files.items():
        (directory / f"{name}.json").write_text(json.dumps(values))
    return directory


def test_directory_without_files_is_an_empty_configuration(tmp_path: Path) -> None:
    assert not read_config(tmp_path).root.values


def test_each_file_has_its_place(tmp_path: Path) -> None:
    found = read_config(
        write(
            tmp_path,
            config=LLAMA,
            hf_quant_config={"quantization": {}},
            tokenizer_config={"model_max_length": 512},
            sentence_bert_config={"max_seq_length": 256},
            modules=[{"type": "sentence_transformers.models.Transformer"}, {"type": POOLING}],
        )
    )
    assert found.first_integer("num_attention_heads") == 32
    assert found.hf_quant_config == {"quantization": {}}
    assert found.tokenizer_config == {"model_max_length": 512}
    assert found.sentence_config == {"max_seq_length": 256}
    assert found.pools


def test_mistral_s_file_counts_where_its_weights_are(tmp_path: Path) -> None:
    write(tmp_path, config=LLAMA, params=PARAMS)
    assert read_config(tmp_path).first_integer("num_attention_heads") == 32
    (tmp_path / "consolidated.safetensors").touch()
    assert read_config(tmp_path).first_integer("num_attention_heads") == 16


@pytest.mark.parametrize("name", ["config.json", "params.json"])
def test_what_is_no_object_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is not a JSON object"):
        config_from({name: [1]})


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="Expecting property name"):
        read_config(tmp_path)


def test_other_files_that_are_no_objects_say_nothing() -> None:
    found = config_from(
        {"config.json": LLAMA, "tokenizer_config.json": [1], "modules.json": {"type": POOLING}}
    )
    assert (found.tokenizer_config, found.pools) == ({}, False)


def test_index_names_the_bytes_of_all_weights(tmp_path: Path) -> None:
    assert indexed_bytes(tmp_path) is None
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"metadata": {"total_size": 16060522496}, "weight_map": {}}')
    assert indexed_bytes(tmp_path) == 16_060_522_496
    index.write_text('{"weight_map": {}}')
    assert indexed_bytes(tmp_path) is None
