"""Recipes are read strictly: errors name file, line and key."""

from pathlib import Path

import pytest

from nim.errors import ManifestError
from nim.recipes.read_recipe_file import MAX_BYTES, load_recipe, read_recipe
from tests.unit.recipes.small import recipe, weights

HEAD = """\
model:
  model_id: acme/Rocket-8B
  min_vllm_version: 0.12.0
  parameter_count: 8B
variants:
  default: {precision: bf16, vram_minimum_gb: 20}
"""


def refusal(text: str) -> str:
    with pytest.raises(ManifestError) as refused:
        read_recipe(text, name="rocket.yaml")
    return str(refused.value)


def test_text_fields_keep_numbers_and_dates_as_text() -> None:
    found = read_recipe(HEAD + "meta: {date_added: 2026-06-04, title: Rocket}\n")
    assert found.model.min_vllm_version == "0.12.0"
    assert found.meta.date_added == "2026-06-04"
    assert found.variants["default"].vram_minimum_gb == 20


def test_parts_that_are_not_given_are_empty() -> None:
    found = read_recipe(HEAD)
    assert found.features == {}
    assert found.variants["default"].extra_args == ()
    assert found.omni is None


def test_a_mode_without_variants_is_for_all() -> None:
    modes = {"mtp": {"args": ["--x"]}, "eagle": {"args": [], "variants": ["default"]}}
    found = recipe(features={"spec_decoding": {"modes": modes}}).features["spec_decoding"].modes
    assert found["mtp"].variants is None
    assert found["eagle"].variants == ("default",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "colour: red\n", ["unknown field 'colour'", "rocket.yaml:7"]),
        (HEAD.replace("model_id", "model_name"), ["model_name", "rocket.yaml:2", "write model_id"]),
        (HEAD.replace("  model_id: acme/Rocket-8B\n", ""), ["recipe.model", "'model_id' is missing"]),
        (HEAD.replace("precision: bf16, ", ""), ["recipe.variants.default", "'precision' is missing"]),
        (HEAD.replace("20}", "lots}"), ["recipe.variants.default.vram_minimum_gb", "not a number"]),
        (HEAD.replace("20}", "0}"), ["vram_minimum_gb", "not above zero"]),
        (HEAD.replace("20}", "20, extra_args: [--x, 8]}"), ["extra_args 2", 'write "8" in quotes']),
        (HEAD.replace("20}", "20, extra_env: {A: 1}}"), ["extra_env.A", 'write "1" in quotes']),
        (HEAD + "model: {model_id: again}\n", ["'model'", "twice", "rocket.yaml:7"]),
        (HEAD.replace("{precision: bf16, vram_minimum_gb: 20}", "a lot"), ["variants.default", "a mapping"]),
        (HEAD[: HEAD.index("  default")] + "  {}\n", ["no variants"]),
        ("- a\n- b\n", ["cannot read the recipe rocket.yaml", "not a mapping"]),
        ("model: [", ["cannot read the recipe as YAML", "rocket.yaml:2"]),
        (HEAD + "guide: &a b\nomni: *a\n", ["anchor", "in the recipe"]),
        (
            HEAD.replace("8B\nvar", "8B\n  context_length: long\nvar"),
            ["recipe.model.context_length", "'long'"],
        ),
        (HEAD + "strategy_overrides: {single_node_tp: {tp: two}}\n", ["single_node_tp.tp", "'two'"]),
        (HEAD.replace("20}", "20, tp: two}"), ["recipe.variants.default.tp", "'two'"]),
        (HEAD.replace("20}", "20, tp: {h100: 0.5}}"), ["recipe.variants.default.tp.h100", "0.5"]),
        (HEAD + "strategy_overrides: {single_node_tp: {tp: {h100: -1}}}\n", ["single_node_tp.tp.h100", "-1"]),
    ],
)
def test_each_mistake_has_its_message(text: str, words: list[str]) -> None:
    said = refusal(text)
    for word in words:
        assert word in said
    assert "manifest" not in said


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="No such file"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"model: \xe9")
    with pytest.raises(ManifestError, match="not UTF-8"):
        load_recipe(tmp_path / "latin.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ManifestError, match="larger than 4 MiB"):
        load_recipe(tmp_path / "large.yaml")


def test_a_file_is_read_as_its_text(tmp_path: Path) -> None:
    (tmp_path / "rocket.yaml").write_text(HEAD)
    assert load_recipe(tmp_path / "rocket.yaml") == read_recipe(HEAD)


def test_strategies_have_a_size_for_all_or_for_each_hardware() -> None:
    found = recipe(strategy_overrides={"single_node_tp": {"tp": {"xeon6": 2}}, "multi_node_tp": {"tp": 8}})
    assert found.strategy_overrides["single_node_tp"].tp == {"xeon6": 2}
    assert found.strategy_overrides["multi_node_tp"].tp == 8
    assert weights()["precision"] == found.variants["default"].precision
