"""Paths that options name."""

from pathlib import Path
from typing import Any

import pytest

from nim.engine import load_options
from nim.options.option_layers import entries
from nim.options.resolve_layers import resolve
from nim.options.rules.rule_types import Said
from nim.planning.checks.find_missing_option_paths import absent_paths, missing_paths
from nim.value_origins import Layer


def said(**options: Any) -> Said:
    config = resolve(entries(Layer.PASSTHROUGH, "NIM_PASSTHROUGH_ARGS", options))
    return Said(config=config, table=load_options())


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"tokenizer": "/nowhere"}, "--tokenizer /nowhere (NIM_PASSTHROUGH_ARGS)"),
        ({"tokenizer": "./nowhere"}, "--tokenizer ./nowhere"),
        ({"hf_config_path": "/nowhere"}, "--hf-config-path /nowhere"),
        ({"log_config_file": "nowhere.json"}, "--log-config-file nowhere.json"),
        ({"spec_model": "/nowhere", "spec_tokens": 2}, "the draft model '/nowhere' of --spec-model /nowhere"),
        ({"speculative_config": {"model": "a/b/c"}}, "the draft model 'a/b/c' of --speculative-config"),
    ],
)
def test_paths_that_are_not_there(options: dict[str, Any], what: str) -> None:
    (found,) = missing_paths(said(**options))
    assert found.what.startswith(what)
    assert found.refusal.message == f"cannot use {found.what}: {found.fault}"
    assert "there is no such" in found.fault
    assert found.hint


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tokenizer": "org/name"},
        {"tokenizer": "s3://bucket/a/b"},
        {"tokenizer": "/nowhere", "skip_tokenizer_init": True},
        {"speculative_config": {"model": "org/name", "num_speculative_tokens": 2}},
        {"speculative_config": {"method": "ngram", "model": "/nowhere", "num_speculative_tokens": 2}},
        {"generation_config": "vllm"},
    ],
)
def test_what_is_no_path_or_not_opened(options: dict[str, Any]) -> None:
    assert not list(missing_paths(said(**options)))
    assert not list(absent_paths(said(**options)))


def test_a_directory_of_a_draft_model_has_a_configuration(tmp_path: Path) -> None:
    options = {"spec_model": str(tmp_path), "spec_tokens": 2}
    (found,) = missing_paths(said(**options))
    assert found.fault == "it has no config.json"
    (tmp_path / "config.json").write_text("{}")
    assert not list(missing_paths(said(**options)))


@pytest.mark.parametrize("name", ["generation_config", "allowed_local_media_path"])
def test_what_the_engine_starts_without_is_a_warning(name: str) -> None:
    assert not list(missing_paths(said(**{name: "/nowhere"})))
    (warning,) = absent_paths(said(**{name: "/nowhere"}))
    assert "there is no such directory" in warning


def test_a_directory_that_the_service_makes_is_no_warning() -> None:
    config = resolve(entries(Layer.DERIVED, "the catalog", {"allowed_local_media_path": "/nowhere"}))
    assert not list(absent_paths(Said(config=config, table=load_options())))
