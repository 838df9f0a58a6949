import dataclasses

import pytest

from nim.engine.option_table import (
    HISTORY,
    JSON_KINDS,
    OPTIONS_DIR,
    Count,
    Kind,
    OptionTable,
    load_options,
    table_versions,
)
from nim.errors import SettingsError


def test_the_newest_table_is_the_default(table: OptionTable) -> None:
    assert table.version == table_versions()[-1]
    assert load_options(f"{table.version}+cpu").options == table.options


def test_a_release_without_a_table_is_refused(table: OptionTable) -> None:
    with pytest.raises(SettingsError) as error:
        load_options("0.1.0")
    assert table.version in error.value.allowed
    assert error.value.hint == "make engine-options"


@pytest.mark.parametrize(
    ("spelling", "name", "positive"),
    [
        ("--max-model-len", "max_model_len", True),
        ("--max_model_len", "max_model_len", True),
        ("-tp", "tensor_parallel_size", True),
        ("--no-enforce-eager", "enforce_eager", False),
        ("--no_enforce_eager", "enforce_eager", False),
    ],
)
def test_exact_spellings_are_found(table: OptionTable, spelling: str, name: str, positive: bool) -> None:
    found = table.find(spelling)
    assert found is not None
    assert (found[0].name, found[1]) == (name, positive)


@pytest.mark.parametrize("spelling", ["--max-model", "max-model-len", "-t", "--", "-max-model-len", "-t_p"])
def test_nothing_else_is(table: OptionTable, spelling: str) -> None:
    assert table.find(spelling) is None


def test_names_and_beginnings(table: OptionTable) -> None:
    assert table.named("max-model-len") is table.named("max_model_len") is table.options["max_model_len"]
    assert table.starting_with("--max_model") == ("--max-model-len",)
    assert "--no-enforce-eager" in table.starting_with("--no-enforce")


def test_every_row_makes_sense(table: OptionTable) -> None:
    for option in table.options.values():
        assert table.find(option.flag) == (option, True)
        assert option.flag.startswith("--")
        assert bool(option.negatives) == (option.kind is Kind.BOOLEAN)
        assert (option.count is Count.NONE) == (option.kind in (Kind.FLAG, Kind.BOOLEAN))
        assert (
            not option.choices
            or option.default is None
            or option.default in option.choices
            or option.count != "one"
        )
        assert not option.keys or option.kind in JSON_KINDS | {Kind.LORA}
        assert option.help
        assert option.group


def test_what_is_gone_is_not_there_and_its_replacement_is(table: OptionTable) -> None:
    for name, gone in table.gone.items():
        assert table.find(name) is None
        for word in (gone.use or "").replace(",", " ").split():
            flag, _, key = word.partition(".")
            if flag.startswith("--"):
                found = table.find(flag)
                assert found is not None
                assert not key or key in found[0].keys
    assert not table.gone_variables.keys() & table.variables.keys()


def test_a_table_cannot_be_changed(table: OptionTable) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.version = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        table.options["x"] = table.options["seed"]  # type: ignore[index]


def test_the_files_are_small() -> None:
    assert sum(path.stat().st_size for path in OPTIONS_DIR.glob("vllm-*.json")) < 300_000 * len(
        table_versions()
    )
    assert (OPTIONS_DIR / HISTORY).stat().st_size < 30_000
