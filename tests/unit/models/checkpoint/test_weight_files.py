"""Which files of a repository are fetched: what vLLM's loaders take."""

import ast
from pathlib import Path

import pytest

from nim.models.checkpoint.weight_files import (
    FORMATS,
    INDEX,
    LARGE,
    engine_files,
    has_index,
    needs_weights,
    weight_files,
)
from nim.models.hub.repositories import ORIGINALS

BESIDE = ("config.json", "tokenizer.json", "README.md", "modeling_mine.py", "original/params.json")
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.mark.parametrize(
    ("names", "load_format", "indexed", "taken"),
    [
        (("model.safetensors", "pytorch_model.bin"), "auto", (), ("model.safetensors",)),
        (("pytorch_model.bin", "tf_model.h5"), "auto", (), ("pytorch_model.bin",)),
        ((*SHARDS, "adapter.safetensors", "original/model.safetensors"), "auto", SHARDS, SHARDS),
        ((*SHARDS, "consolidated.safetensors"), "auto", SHARDS, ("consolidated.safetensors",)),
        ((*SHARDS, "consolidated.safetensors"), "hf", SHARDS, SHARDS),
        ((*SHARDS, "consolidated.safetensors"), "MISTRAL", (), ("consolidated.safetensors",)),
        (("model.safetensors", "original/a/model.safetensors"), "auto", (), ("model.safetensors",)),
        (
            ("model.safetensors", "sub/model.safetensors"),
            "auto",
            (),
            ("model.safetensors", "sub/model.safetensors"),
        ),
        (("sub/model.safetensors", "model.pt"), "auto", (), ("model.pt",)),
        (("model.safetensors", "model.pt"), "pt", (), ("model.pt",)),
        (("model.safetensors",), "dummy", (), ()),
        (("model.safetensors",), None, (), ()),
        (("model.gguf",), "auto", (), ()),
        (("model.safetensors",), "a-format-of-tomorrow", (), ("model.safetensors",)),
    ],
)
def test_weights(
    names: tuple[str, ...], load_format: str | None, indexed: tuple[str, ...], taken: tuple[str, ...]
) -> None:
    assert weight_files(names, load_format, ORIGINALS, indexed) == taken
    assert engine_files((*BESIDE, *names), load_format, ORIGINALS, indexed) == tuple(
        sorted((*BESIDE, *taken))
    )


def test_ignored_patterns_can_be_set() -> None:
    assert weight_files(("a.safetensors", "b.safetensors"), "auto", ("b*",)) == ("a.safetensors",)


def test_an_index_counts_where_safetensors_are_loaded() -> None:
    assert has_index((INDEX, *SHARDS), "auto")
    assert not has_index((INDEX, *SHARDS), "pt")
    assert not has_index((INDEX, "consolidated.safetensors"), "auto")
    assert not has_index(SHARDS, "auto")
    assert [needs_weights(name) for name in ("auto", "dummy", None)] == [True, False, False]


# The engine is the judge: its source is read, because importing it takes many seconds.


def source(module: str) -> ast.Module:
    import importlib.util

    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:
        pytest.skip("vLLM is not installed")
    path = Path(found.origin).parent / module
    return ast.parse(path.read_text(encoding="utf-8"))


def test_the_patterns_are_those_of_the_engine() -> None:
    tree = source("transformers_utils/repo_utils.py")
    (lists,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_WEIGHT_FILE_PATTERNS"
    ]
    assert set(ast.literal_eval(lists)) == set(LARGE)
    text = ast.unparse(source("config/load.py"))
    assert f"default_factory=lambda: {list(ORIGINALS)!r}" in text


def test_each_load_format_s_patterns_are_those_of_the_engine() -> None:
    loader = ast.unparse(source("model_executor/model_loader/default_loader.py"))
    for name, patterns in FORMATS.items():
        own = [one for one in patterns if one != "*.pt" or name == "pt"]
        assert not own or f"allow_patterns = {own!r}" in loader, name
    assert "allow_patterns += ['*.pt']" in loader
