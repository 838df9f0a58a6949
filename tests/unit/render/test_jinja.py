"""Jinja environments: quoting, and compiled templates that are kept."""

import sys
from pathlib import Path

import pytest
from jinja2 import Environment

from nim.data_paths import ENGINE_TEMPLATES, NGINX_TEMPLATES
from nim.render import jinja

TEMPLATE = "a {{ value }} {{ 'constant' }}\n"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one template, `t.j2`, whose bytecode goes to `bytecode/` in it."""
    (tmp_path / "t.j2").write_text(TEMPLATE)
    monkeypatch.setattr(jinja, "NGINX_TEMPLATES", tmp_path)
    monkeypatch.setattr(jinja, "BYTECODE", tmp_path / "bytecode")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path


def rendered(write: jinja.Write = str) -> str:
    return jinja.environment(write).get_template("t.j2").render(value=1)


def written(files: Path) -> list[Path]:
    return list((files / "bytecode").glob("*"))


def test_a_compiled_template_is_kept_and_used(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rendered() == "a 1 constant\n"
    assert len(written(files)) == 1
    monkeypatch.delattr(Environment, "_parse")
    assert rendered() == "a 1 constant\n"


def test_values_and_constants_are_quoted_for_their_target_also_from_a_kept_template(files: Path) -> None:
    rendered()
    assert rendered(lambda value: f"<{value}>") == "a <1> <constant>\n"


def test_a_changed_template_is_compiled_again(files: Path) -> None:
    rendered()
    (files / "t.j2").write_text("b {{ value }}\n")
    assert rendered() == "b 1\n"
    assert len(written(files)) == 1


def test_a_damaged_file_is_written_again(files: Path) -> None:
    rendered()
    [kept] = written(files)
    whole = kept.read_bytes()
    for damaged in (b"\0" * 200, *(whole[:size] for size in range(len(whole)))):
        kept.write_bytes(damaged)
        assert rendered() == "a 1 constant\n"
        assert kept.read_bytes() == whole


def test_nothing_is_written_where_python_writes_no_bytecode(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered() == "a 1 constant\n"
    assert not written(files)


def test_a_directory_that_cannot_be_written_does_no_harm(files: Path) -> None:
    (files / "bytecode").write_text("a file in the directory's place")
    assert rendered() == "a 1 constant\n"


def test_every_template_of_the_project_compiles(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(jinja, "BYTECODE", files / "bytecode")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    jinja.compile_templates()
    templates = [*NGINX_TEMPLATES.glob("*.j2"), *ENGINE_TEMPLATES.glob("*.j2")]
    assert len(written(files)) == len(templates)
