"""The directory of NIM_PEFT_SOURCE, as `nim plan` looks at it."""

from pathlib import Path

import pytest

from nim.errors import SettingsError
from nim.hardware import Hardware
from nim.plan import AdapterPlan
from nim.planning.checks.check_adapter_source import check_adapter_source
from nim.planning.plan_request import Request
from nim.settings import Settings
from tests.middleware.adapter_engine import put_adapter


def of(source: Path, *, other_machine: bool = False) -> tuple[str, ...]:
    plan = AdapterPlan(
        source=str(source),
        refresh_seconds=0,
        api_timeout_seconds=60,
        max_rank=16,
        base_names=("nim/demo",),
        name="source",
    )
    hardware = Hardware(gpus=(), source="none")
    request = Request(settings=Settings(), environ={}, hardware=hardware, other_machine=other_machine)
    return check_adapter_source(plan, request)


def test_good_adapters_need_no_words(tmp_path: Path) -> None:
    put_adapter(tmp_path, "a")
    (tmp_path / "README.md").write_text("not an adapter")
    assert of(tmp_path) == ()


def test_those_that_will_not_be_served_are_named(tmp_path: Path) -> None:
    put_adapter(tmp_path, "high", r=64)
    put_adapter(tmp_path, "other", base_model_name_or_path="org/other")
    (tmp_path / "empty").mkdir()
    high = "its rank 64 is above --max-lora-rank 16: NIM_MAX_LORA_RANK=64"
    assert of(tmp_path) == (
        "the adapter empty of NIM_PEFT_SOURCE will not be served: it has no adapter_config.json",
        f"the adapter high of NIM_PEFT_SOURCE will not be served: {high}",
        "the adapter other was trained on org/other, not on nim/demo: it may answer nonsense",
    )


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.write_text("")])
def test_a_source_that_is_no_directory_is_refused(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "x")
    with pytest.raises(SettingsError, match="cannot use NIM_PEFT_SOURCE") as refused:
        of(tmp_path / "x")
    assert "mkdir -p" in str(refused.value.hint)
    assert of(tmp_path / "x", other_machine=True) == ()
