"""Which requests are sent before the first ready, and files of prefixes that are refused."""

from pathlib import Path

import pytest

from nim.errors import SettingsError
from nim.planning.plan_warm_up import check_prefixes, warm_up_of
from nim.settings.read import read_settings
from nim.value_origins import Layer, Origin, Value

ORIGIN = Origin(layer=Layer.ENV, place="a test")


def test_it_names_the_model_as_the_engine_serves_it() -> None:
    config = {"served_model_name": Value(value=["one", "two"], origin=ORIGIN, previous=())}
    warm_up = warm_up_of(read_settings({}), config, "a-model")
    assert warm_up is not None
    assert (warm_up.model, warm_up.seconds, warm_up.file) == ("one", 30.0, None)


def test_it_can_be_turned_off() -> None:
    assert warm_up_of(read_settings({"NIM_WARM_UP_TIMEOUT": "0"}), {}, "a-model") is None


@pytest.mark.parametrize("line", ["You are", "7", "[]", "{}", '["a"]', '"cut'])
def test_a_line_that_is_no_prefix_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "prefixes"
    file.write_text(f'"You are"\n\n{line}\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"cannot use line 3 of '.*prefixes' \(NIM_WARM_UP_FILE\)"):
        check_prefixes(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    settings = read_settings({"NIM_WARM_UP_FILE": str(tmp_path / "none")})
    with pytest.raises(SettingsError, match="cannot read"):
        warm_up_of(settings, {}, "a-model")


def test_prompts_and_messages_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "prefixes"
    file.write_text('"You are"\n[{"role": "system", "content": "You are"}]\n', encoding="utf-8")
    check_prefixes(file)
