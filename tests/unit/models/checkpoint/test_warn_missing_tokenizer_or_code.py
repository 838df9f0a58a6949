"""Tokenizers and code beside the weights, or missing."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from nim.models.checkpoint.list_model_directory import list_files
from nim.models.checkpoint.warn_missing_tokenizer_or_code import remote_code_warnings, tokenizer_warnings
from tests.unit.models.checkpoint.directories import Content, make


@pytest.mark.parametrize(
    "name",
    [
        *(
            "tokenizer.json",
            "tokenizer.model",
            "tokenizer.model.v7m1",
            "tekken.json",
            "vocab.txt",
            "vocab.json",
        ),
        *(
            "spiece.model",
            "sentencepiece.bpe.model",
            "qwen.tiktoken",
            "merges.txt",
            "rwkv_vocab_v20230424.txt",
        ),
    ],
)
def test_a_vocabulary_is_found_under_any_of_its_names(tmp_path: Path, name: str) -> None:
    assert [*tokenizer_warnings(list_files(make(tmp_path, {name: "x"})))] == []


@pytest.mark.parametrize(
    "name",
    [
        *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenization_mine.py"),
        *(
            "config.json",
            "tokenizer_chat_template.jinja",
            "sub/tokenizer.json",
            "token_embeddings.safetensors",
        ),
    ],
)
def test_what_is_called_like_one_is_none(tmp_path: Path, name: str) -> None:
    (warning,) = tokenizer_warnings(list_files(make(tmp_path, {name: "{}"})))
    assert "--tokenizer org/name" in warning


@pytest.mark.parametrize(
    ("config", "files", "missing"),
    [
        ({"AutoConfig": "configuration_mine.Mine"}, (), "configuration_mine.py"),
        ({"AutoConfig": "configuration_mine.Mine"}, ("configuration_mine.py",), None),
        ({"AutoConfig": "org/name--configuration_mine.Mine"}, (), None),
        ({"AutoTokenizer": ["tokenization_mine.Slow", None]}, (), "tokenization_mine.py"),
        ({"AutoModel": "code.modeling.Mine"}, ("modeling.py",), "code/modeling.py"),
        ({}, (), None),
    ],
)
def test_code_that_is_named(
    tmp_path: Path, config: Mapping[str, Content], files: tuple[str, ...], missing: str | None
) -> None:
    found = list_files(make(tmp_path, dict.fromkeys(files, "")))
    warnings = [*remote_code_warnings(found, {"auto_map": config})]
    assert [f"has no {missing}, which" in warning for warning in warnings] == ([True] if missing else [])


def test_code_of_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = {"auto_map": {"AutoTokenizer": ["tokenization_mine.Slow", None]}}
    files = list_files(make(tmp_path, {"tokenizer_config.json": tokenizer}))
    (warning,) = remote_code_warnings(files, {})
    assert "tokenization_mine.py" in warning
    (tmp_path / "tokenizer_config.json").write_text("[")
    assert [*remote_code_warnings(files, {})] == []
