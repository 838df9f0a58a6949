"""Secrets in files, as Kubernetes and Docker mount them."""

from pathlib import Path

import pytest

from nim.errors import SettingsError
from nim.settings import with_file_twins


def test_a_file_gives_the_value_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_abc\n")
    assert with_file_twins({"HF_TOKEN_FILE": str(tmp_path / "token")}) == {"HF_TOKEN": "hf_abc"}


def test_both_forms_at_once_are_refused_without_showing_either(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        with_file_twins({"HF_TOKEN_FILE": str(tmp_path), "HF_TOKEN": "hf_planted"})
    assert "hf_planted" not in str(refused.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match="HF_TOKEN_FILE '/nowhere'"):
        with_file_twins({"HF_TOKEN_FILE": "/nowhere"})


def test_other_variables_pass_as_they_are() -> None:
    assert with_file_twins({"SOME_FILE": "/x", "A": ""}) == {"SOME_FILE": "/x", "A": ""}
