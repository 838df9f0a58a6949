"""The toolkit's flags, taken from the arguments before the engine gets the others."""

import pytest

from nim.cli.agent_flags import take_agent_flags
from nim.errors import SettingsError


@pytest.mark.parametrize("name", ["--max_concurrent_jobs", "--max_running_async_jobs"])
def test_both_names_of_the_limit_are_one_variable(name: str) -> None:
    expected = (("--seed", "1"), {"A": "b", "NIM_AGENT_MAX_CONCURRENT_JOBS": "3"})
    assert take_agent_flags(["--seed", "1", name, "3"], {"A": "b"}) == expected
    assert take_agent_flags([f"{name}=3", "--seed", "1"], {"A": "b"}) == expected


def test_without_such_flags_nothing_changes() -> None:
    environ = {"A": "b"}
    rest, same = take_agent_flags(["model", "--max-model-len=8k"], environ)
    assert rest == ("model", "--max-model-len=8k")
    assert same is environ


@pytest.mark.parametrize("arguments", [["--dask_workers"], ["--dask_workers", "--seed"], ["--dask_workers="]])
def test_a_flag_without_a_value_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SettingsError, match="--dask_workers without a value"):
        take_agent_flags(arguments, {})
