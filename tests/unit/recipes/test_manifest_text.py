"""The manifest's text: correct when read back, deterministic, with unknown values as comments."""

import json
from typing import Any

import jsonschema
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nim.manifest import read_manifest
from nim.manifest.find_problems import manifest_problems
from nim.manifest.json_schema import manifest_schema
from nim.recipes.manifest_text import draft_text, scalar, written
from tests.unit.recipes.small import drafted, recipe, weights

FULL: dict[str, Any] = {
    "meta": {"description": "It's small: a #1 “rocket”\nin two lines", "hardware": {"h200": "verified"}},
    "model": {
        "base_args": ["--trust-remote-code", "--gpu-memory-utilization", "0.90", "--max-num-seqs", "16"],
        "base_env": {"VLLM_USE_FLASHINFER_MOE_FP4": "1"},
    },
    "variants": {
        "default": weights(),
        "fp8": weights("fp8", gb=10, extra_args=["--kv-cache-dtype", "fp8"], model_id="acme/Rocket-FP8"),
    },
    "features": {
        "reasoning": {"args": ["--reasoning-parser", "qwen3"]},
        "spec_decoding": {
            "description": "Two: faster",
            "args": ["--speculative-config", '{"method":"mtp","num_speculative_tokens":2}'],
        },
    },
    "opt_in_features": ["spec_decoding"],
    "hardware_overrides": {"hopper": {"extra_args": ["--async-scheduling"]}},
    "compatible_strategies": ["single_node_tp", "pd_cluster"],
}


def full() -> str:
    return draft_text(drafted(recipe(**FULL)))


def test_it_is_a_manifest_without_a_fault_of_the_published_schema() -> None:
    manifest = read_manifest(full())
    assert manifest_problems(manifest) == ()
    jsonschema.validate(yaml.safe_load(full()), manifest_schema())


def test_it_is_the_same_every_time() -> None:
    assert full() == full()


def test_any_reader_of_yaml_reads_it_alike() -> None:
    """What PyYAML makes of it by the rules of YAML 1.1 is what our own strict reader makes of it."""
    document = yaml.safe_load(full())
    ours = read_manifest(full())
    assert [entry["id"] for entry in document["profiles"]] == [profile.id for profile in ours.profiles]
    assert [entry["tags"] for entry in document["profiles"]] == [profile.tags for profile in ours.profiles]
    assert document["engine"]["args"]["gpu-memory-utilization"] == 0.9
    assert document["model"]["description"] == "It's small: a #1 “rocket” in two lines"


def test_options_of_all_profiles_are_written_once() -> None:
    text = full()
    assert text.count("reasoning-parser: qwen3 # features.reasoning") == 1
    assert text.count("kv-cache-dtype: fp8 # variants.fp8") == 1
    assert text.count("async-scheduling: true # hardware_overrides.hopper") == 2


def test_unknown_and_omitted_values_are_comments() -> None:
    text = full()
    for words in (
        "# license: unknown",
        "# kv_cache: unknown",
        "# download_gb: unknown",
        "# active_billions: unknown",
        "# Not in this manifest:",
        "# - compatible_strategies: pd_cluster",
        "# Verified by the recipe's authors on: h200.",
        "no longer has it",
    ):
        assert words in text, words


def test_weights_of_mixed_precision_say_why_their_size_is_given() -> None:
    mixed = recipe(variants={"default": weights("fp8", gb=170)}, model={"parameter_count": "284B"})
    text = draft_text(drafted(mixed))
    assert "    weights_gb: 170\n" in text
    assert "less than parameters times bytes" in text


def test_no_comment_is_too_wide_and_none_leaves_its_line() -> None:
    odd = weights(description="a\nschema_version: 9\u2028" + "long " * 60)
    text = draft_text(drafted(recipe(variants={"odd\nname": odd})))
    assert read_manifest(text).schema_version == "2.0.0"
    assert all(len(line) <= 110 for line in text.splitlines() if line.lstrip().startswith("#"))


def engine_of(line: str) -> Any:
    head = "schema_version: 2.0.0\nmodel: {name: a/b, source: hf://a/b}\nengine:\n  args:\n"
    tail = "\nprofiles:\n  - {id: '" + "0" * 64 + "', tags: {llm_engine: vllm}}\n"
    return read_manifest(f"{head}    value: {line} # a key{tail}").profiles[0].engine.args["value"]


texts = st.text(st.characters(codec="utf-8"), max_size=20)
whole = st.integers(-(10**17), 10**17)
fractions = st.floats(-1e9, 1e9).filter(lambda number: number == 0 or abs(number) > 1e-9)
plain = st.one_of(st.booleans(), whole, fractions, texts)
values = st.recursive(
    plain, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3), max_leaves=6
)


@given(texts)
def test_text_reads_back_as_it_was(text: str) -> None:
    assert engine_of(scalar(text)) == text


@given(values)
def test_values_read_back_as_they_were(value: Any) -> None:
    assert json.dumps(engine_of(written(value))) == json.dumps(value)


def test_words_that_readers_disagree_on_are_quoted() -> None:
    for word in ("no", "Off", "~", "null", "1e3", "0x10", "2026-01-31", "a: b", "#x", "- x", "", " a", "a "):
        assert scalar(word) == json.dumps(word)
    for word in ("qwen3_coder", "hf/x-1.5", "Llama 3.1 Community License"):
        assert scalar(word) == word
