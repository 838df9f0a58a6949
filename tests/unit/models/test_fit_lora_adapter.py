"""Whether an adapter suits the model: its rank and its base."""

import pytest

from nim.engine import load_options
from nim.models.fit_lora_adapter import RANKS, other_base, rank_fault
from nim.models.read_lora_adapters import Adapter


def test_the_ranks_are_those_of_the_engine() -> None:
    assert load_options().options["max_lora_rank"].choices == RANKS


@pytest.mark.parametrize(("rank", "limit"), [(None, 16), (16, 16), (8, 16), (64, None)])
def test_a_rank_that_fits_or_is_not_known(rank: int | None, limit: int | None) -> None:
    assert rank_fault(Adapter(name="a", path="/a", rank=rank), limit) is None


@pytest.mark.parametrize(
    ("rank", "remedy"),
    [
        (17, ": NIM_MAX_LORA_RANK=32"),
        (300, ": NIM_MAX_LORA_RANK=320"),
        (513, ", and the engine takes no higher one"),
    ],
)
def test_a_rank_above_the_limit_says_what_would_do(rank: int, remedy: str) -> None:
    fault = rank_fault(Adapter(name="a", path="/a", rank=rank), 16)
    assert fault == f"its rank {rank} is above --max-lora-rank 16{remedy}"


@pytest.mark.parametrize("base", ["org/Model-8B", "/models/model-8b/", "Model-8b", None])
def test_the_same_base_under_another_path_is_no_doubt(base: str | None) -> None:
    assert other_base(Adapter(name="a", path="/a", base=base), ["org/model-8b:main"]) is None


def test_another_base_is_a_doubt() -> None:
    doubt = other_base(Adapter(name="a", path="/a", base="org/other"), ["org/model", "nim"])
    assert doubt == "the adapter a was trained on org/other, not on org/model: it may answer nonsense"
