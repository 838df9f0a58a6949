"""`nim profiles import`, `--check`, `--write-ids` and `--schema`, as they are typed."""

import json
from pathlib import Path

import pytest

from nim.cli.main import main
from nim.manifest import load_manifest, read_manifest
from nim.manifest.json_schema import schema_text

RECIPE = """\
meta: {description: A small rocket, hardware: {h100: verified}}
model: {model_id: acme/Rocket-8B, min_vllm_version: 0.12.0, parameter_count: 8B, context_length: 131072}
features:
  reasoning: {description: Thinks, args: ["--reasoning-parser", qwen3]}
variants:
  default: {precision: bf16, vram_minimum_gb: 20}
compatible_strategies: [single_node_tp]
"""
WRONG = RECIPE.replace("qwen3]", 'qwen3, "--no-such-option"]')


@pytest.fixture(name="file")
def file_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "Rocket-8B.yaml"
    path.write_text(RECIPE)
    return path


def nim(*arguments: str | Path) -> int:
    return main(["profiles", *map(str, arguments)])


def test_a_manifest_is_printed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert nim("import", file) == 0
    manifest = read_manifest(capsys.readouterr().out)
    assert manifest.name == "acme/Rocket-8B"
    assert manifest.profiles[0].engine.args == {"reasoning-parser": "qwen3"}


def test_a_manifest_is_written_under_the_name_that_finds_it(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "profiles"
    target.mkdir()
    assert nim("import", file, "-o", target, "--gpus", "8xH200") == 0
    said = capsys.readouterr().out
    assert "bf16 × 1 → vllm-bf16-tp1-pp1" in said
    assert str(target / "rocket-8b.yaml") in said
    assert load_manifest(target / "rocket-8b.yaml").name == "acme/Rocket-8B"
    assert nim("--check", target) == 0


def test_what_is_there_is_not_overwritten_unasked(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mine.yaml"
    target.write_text("mine")
    assert nim("import", file, "-o", target) == 2
    said = capsys.readouterr().err
    assert f"cannot write '{target}': it is there already" in said
    assert "--force" in said
    assert target.read_text() == "mine"
    assert nim("import", file, "-o", target, "--force") == 0
    assert load_manifest(target).name == "acme/Rocket-8B"


def test_a_place_that_is_not_there_is_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nim("import", file, "-o", tmp_path / "none" / "x.yaml") == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_a_refusal_names_file_key_and_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(WRONG)
    assert nim("import", path) == 3
    said = capsys.readouterr().err
    assert f"cannot import the recipe '{path}'" in said
    assert 'features.reasoning: cannot pass "--no-such-option"' in said
    assert "--drop-unknown" in said
    assert nim("import", path, "--drop-unknown") == 0
    assert "# - features.reasoning: dropped: " in capsys.readouterr().out


def test_several_recipes_get_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipes = tmp_path / "recipes" / "acme"
    recipes.mkdir(parents=True)
    (recipes / "a.yaml").write_text(RECIPE)
    (recipes / "b.yaml").write_text(WRONG)
    (recipes / "c.yaml").write_text(RECIPE.replace("precision", "precisoin"))
    (recipes / "taxonomy.yaml").write_text("hardware_profiles: {}\n")
    assert nim("import", recipes.parent) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ") == ["acme/a.yaml", "bf16 × 1"]
    assert lines[1].split("  ") == ["acme/b.yaml", "not imported"]
    assert lines[2].startswith("  features.reasoning: ")
    assert lines[3].startswith("acme/c.yaml  not imported: cannot use the unknown field 'precisoin'")
    assert lines[-1] == "1 of 3 recipes imported"


def test_the_report_is_data_too(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(WRONG)
    out = tmp_path / "out"
    out.mkdir()
    assert nim("import", file, wrong, "-o", out, "--json", "--gpus", "1xB200") == 3
    good, bad = json.loads(capsys.readouterr().out)
    assert good["profiles"] == ["vllm-bf16-tp1-pp1"]
    assert good["chosen"] == "vllm-bf16-tp1-pp1"
    assert good["file"] == str(out / "rocket-8b.yaml")
    assert bad["imported"] is False
    assert [reason["key"] for reason in bad["refused"]] == ["features.reasoning"]


def test_gpus_that_run_no_profile_are_reported(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert nim("import", file, "--json", "--gpus", "1xT4") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["chosen"].startswith("cannot run acme/Rocket-8B on this machine")


def test_wrong_places_are_refused(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert nim("import", empty) == 2
    assert "there is no recipe in this directory" in capsys.readouterr().err
    assert nim("import", file, file.parent, "-o", tmp_path / "one.yaml") == 2
    assert "is not a directory" in capsys.readouterr().err
    assert nim("import", tmp_path / "none.yaml") == 3
    assert "No such file" in capsys.readouterr().err


def test_one_variant_is_imported_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.yaml"
    small = "  small: {precision: bf16, vram_minimum_gb: 5, model_id: acme/Rocket-2B}\ncompatible"
    path.write_text(RECIPE.replace("compatible", small))
    assert nim("import", path, "--variant", "small") == 0
    assert read_manifest(capsys.readouterr().out).name == "acme/Rocket-2B"
    assert nim("import", path, "--variant", "large") == 3
    assert "it has none so called" in capsys.readouterr().err


def test_manifests_are_checked_with_their_options(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "rocket.yaml"
    nim("import", file, "-o", target)
    capsys.readouterr()
    assert nim("--check", target) == 0
    assert capsys.readouterr().out == f"{target}: all is well\n"
    target.write_text(target.read_text().replace("reasoning-parser", "no-such-option"))
    assert nim("--check", target) == 3
    said = capsys.readouterr().out
    assert "is not that of its content" in said
    assert '"no_such_option"' in said
    assert nim("--write-ids", target) == 0
    assert capsys.readouterr().out == f"{target}: 1 ids written\n"
    assert nim("--check", "--json", target) == 3
    (row,) = json.loads(capsys.readouterr().out.replace("\n", " "))
    assert len(row["problems"]) == 1


def test_a_manifest_that_cannot_be_read_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nim("--check", tmp_path / "none.yaml") == 3
    assert "No such file" in capsys.readouterr().out


def test_variables_that_the_engine_does_not_know_are_a_note(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "rocket.yaml"
    file.write_text(RECIPE.replace("131072}", "131072, base_env: {VLLM_USE_V1: '1'}}"))
    nim("import", file, "-o", target)
    capsys.readouterr()
    assert nim("--check", target) == 0
    assert "note: VLLM_USE_V1" in capsys.readouterr().out


def test_a_parser_that_the_engine_has_not_is_a_problem(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mine.yaml"
    assert nim("import", file, "-o", target) == 0
    target.write_text(target.read_text().replace("reasoning-parser: qwen3", "reasoning-parser: qwen33"))
    assert nim("--write-ids", target) == 0
    assert nim("--check", target) == 3
    assert 'cannot use "qwen33" for --reasoning-parser' in capsys.readouterr().out


def test_all_that_are_shipped_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert nim("--check") == 0
    assert "llama-3.1-8b-instruct.yaml: all is well" in capsys.readouterr().out


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert nim("--schema") == 0
    assert capsys.readouterr().out == schema_text()


def test_profiles_are_still_listed_under_both_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert nim("--gpus", "1xH100") == 0
    listed = capsys.readouterr().out
    assert listed.startswith("SYSTEM INFO")
    assert main(["list-model-profiles", "--gpus", "1xH100"]) == 0
    assert capsys.readouterr().out == listed
    assert nim("--gpus", "1xH100", "--json") == 0
    assert json.loads(capsys.readouterr().out)["free_gpus"][0]["name"] == "NVIDIA H100 80GB HBM3"
