"""Reading an adapter's files."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.models.read_lora_adapters import Adapter, read_adapters

GOOD = {"r": 16, "lora_alpha": 32, "target_modules": ["q_proj"], "peft_type": "LORA"}


def adapter(directory: Path, *, weights: str = "adapter_model.safetensors", **config: Any) -> Path:
    """Return an adapter as far as its files say what it is."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "adapter_config.json").write_text(json.dumps(GOOD | config))
    if weights:
        (directory / weights).write_bytes(b"w")
    return directory


def read(path: Path | str) -> Adapter:
    (found,) = read_adapters([f"sql={path}"])
    return found


def test_rank_and_base(tmp_path: Path) -> None:
    path = adapter(tmp_path, base_model_name_or_path="meta-llama/Llama-3.1-8B")
    assert read(path) == Adapter(name="sql", path=str(path), rank=16, base="meta-llama/Llama-3.1-8B")


def test_the_largest_of_several_ranks_counts(tmp_path: Path) -> None:
    assert read(adapter(tmp_path, rank_pattern={"q_proj": 64, "v_proj": 8})).rank == 64


def test_both_forms_of_a_module(tmp_path: Path) -> None:
    path = str(adapter(tmp_path))
    assert read_adapters([f"a={path}", {"name": "b", "path": path, "base_model_name": "x"}]) == (
        Adapter(name="a", path=path, rank=16),
        Adapter(name="b", path=path, rank=16),
    )


@pytest.mark.parametrize("weights", ["adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt"])
def test_weights_of_each_form_will_do(tmp_path: Path, weights: str) -> None:
    assert read(adapter(tmp_path, weights=weights)).fault is None


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"peft_type": "IA3"}, "it is no LoRA (peft_type IA3)"),
        ({"use_dora": True}, "it is a DoRA"),
        ({"bias": "all"}, "it has biases (bias all)"),
        ({"lora_bias": True}, "it has biases (lora_bias)"),
        ({"init_lora_weights": "pissa"}, "it changes the model's own weights (init_lora_weights pissa)"),
        ({"modules_to_save": ["lm_head"]}, "it brings whole modules (modules_to_save lm_head)"),
        ({"layer_replication": [[0, 4]]}, "it repeats layers (layer_replication)"),
        ({"r": -1}, 'its "r" is -1, not a whole number above 0'),
        ({"r": "8"}, 'its "r" is "8", not a whole number above 0'),
        ({"r": None}, 'its "r" is null, not a whole number above 0'),
        ({"r": float("inf")}, 'its "r" is Infinity, not a whole number above 0'),
        ({"lora_alpha": "32"}, 'its "lora_alpha" is "32", not a number'),
        ({"rank_pattern": [1]}, 'its "rank_pattern" is [1], not an object'),
        ({"rank_pattern": {"q_proj": 8.0}}, 'a rank of its "rank_pattern" is 8.0'),
        ({"modules_to_save": 5}, 'its "modules_to_save" is 5, not a list'),
        ({"modules_to_save": "score"}, "it brings whole modules (modules_to_save score)"),
        ({"weights": ""}, "it has no weights (adapter_model.safetensors)"),
    ],
)
def test_what_the_engine_would_not_load(tmp_path: Path, config: dict[str, Any], fault: str) -> None:
    assert read(adapter(tmp_path, **config)).fault == fault


@pytest.mark.parametrize(
    "config",
    [
        {"init_lora_weights": "gaussian"},
        {"modules_to_save": ["score"]},
        {"bias": "none"},
        {"use_rslora": True},
    ],
)
def test_what_it_would(tmp_path: Path, config: dict[str, Any]) -> None:
    assert read(adapter(tmp_path, **config)).fault is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "its adapter_config.json is not JSON"),
        ("[]", "its adapter_config.json is not a JSON object"),
        ("[" * 200_000, "its adapter_config.json is not JSON"),
        ("1" * 5000, "its adapter_config.json cannot be read"),
        ("{}", 'its adapter_config.json has no "r"'),
        (None, "it has no adapter_config.json"),
    ],
)
def test_what_is_no_adapter(tmp_path: Path, text: str | None, fault: str) -> None:
    if text is not None:
        (tmp_path / "adapter_config.json").write_text(text)
    assert (read(tmp_path).fault or "").startswith(fault)


def test_a_directory_that_is_missing_and_a_repository_of_the_hub() -> None:
    assert read("/nowhere/adapter").is_missing
    assert read("org/adapter") == Adapter(name="sql", path="org/adapter")


@pytest.mark.parametrize("path", ["/a\0b", "~nobody-here/a", "/" + "a" * 5000])
def test_paths_that_are_none(path: str) -> None:
    found = read(path)
    assert found.is_missing or "cannot be read" in (found.fault or "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    *("r", "lora_alpha", "target_modules", "peft_type", "rank_pattern", "alpha_pattern", "bias", "use_dora"),
    *("modules_to_save", "init_lora_weights", "layer_replication", "base_model_name_or_path", "lora_bias"),
)


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4))
def test_any_json_is_read(config: dict[str, Any]) -> None:
    with TemporaryDirectory() as directory:
        found = read(adapter(Path(directory), **config))
    assert found.name == "sql"
    assert found.rank is None or found.rank > 0 or found.fault
