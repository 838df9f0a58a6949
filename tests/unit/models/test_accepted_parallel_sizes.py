"""Sizes that the engine accepts, and the text of refusals."""

from typing import Any

import pytest
from hypothesis import given, strategies

from nim.models.accepted_parallel_sizes import runs_in_stages
from nim.models.config.model_config import model_config
from nim.models.facts import facts_of
from nim.models.weights.weight_matrices import Ranks
from tests.unit.models.weights.configs import (
    DENSE,
    FAMILIES,
    FP8_BLOCKS,
    GATED_DELTA,
    LATENT,
    MIXTURE,
    Config,
)
from tests.unit.models.weights.figures import COUNTED, TRIED

PHI4 = {
    **DENSE,
    "architectures": ["Phi3ForCausalLM"],
    "model_type": "phi3",
    "num_attention_heads": 40,
    "num_key_value_heads": 10,
    "hidden_size": 5120,
    "intermediate_size": 17920,
    "vocab_size": 32000,
}


def refusal(config: Config, **sizes: Any) -> str | None:
    facts, ranks = facts_of(model_config(config)), Ranks(**sizes)
    return facts.stages_fault(ranks) or facts.split_fault(ranks)


def accepted(config: Config) -> tuple[int, ...] | None:
    return facts_of(model_config(config)).tensor_parallel_sizes()


@pytest.mark.parametrize("family", FAMILIES)
def test_accepted_sizes_are_the_engines(family: str) -> None:
    sizes = accepted(FAMILIES[family]) or ()
    assert [size for size in sizes if size in TRIED] == sorted(COUNTED[family])


@pytest.mark.parametrize(
    ("config", "ranks", "expected"),
    [
        (PHI4, 4, "10 KV heads cannot be split over 4 GPUs: 1, 2, 5 or 10 can"),
        (PHI4, 3, "40 attention heads cannot be split over 3 GPUs: 1, 2, 5 or 10 can"),
        (
            {**DENSE, "num_attention_heads": 25, "num_key_value_heads": 25, "hidden_size": 1600},
            2,
            "25 attention heads cannot be split over 2 GPUs: 1 can",
        ),
        (
            {**DENSE, "intermediate_size": 2818},
            4,
            "an MLP width of 2818 cannot be split over 4 GPUs: 1 or 2 can",
        ),
        (
            {
                **DENSE,
                "num_attention_heads": 12,
                "num_key_value_heads": 12,
                "intermediate_size": 3072,
                "hidden_size": 768,
                "vocab_size": 31999,
            },
            3,
            "a vocabulary of 32000 (padded) cannot be split over 3 GPUs: 1, 2 or 4 can",
        ),
        (
            {**GATED_DELTA, "quantization_config": FP8_BLOCKS},
            8,
            "a shared expert of 512 in blocks of 128 cannot be split over 8 GPUs: 1, 2 or 4 can",
        ),
        (
            {**MIXTURE, "num_experts": 4},
            8,
            "4 experts cannot be split over 8 GPUs: 1, 2 or 4 can",
        ),
        (
            FAMILIES["AWQ"],
            16,
            "an MLP width of 2816 in groups of 64 cannot be split over 16 GPUs: 1, 2 or 4 can",
        ),
    ],
)
def test_a_refusal_names_what_does_not_divide_and_what_would(
    config: Config, ranks: int, expected: str
) -> None:
    assert refusal(config, tensor=ranks) == expected


def test_kv_heads_are_repeated_on_more_ranks_than_there_are() -> None:
    assert refusal({**DENSE, "num_key_value_heads": 2}, tensor=16) is None


def test_gpt_oss_does_not_repeat_them() -> None:
    assert refusal(FAMILIES["gpt-oss in MXFP4"], tensor=8) is not None


class TestExperts:
    def test_replicas_split_experts_together(self) -> None:
        assert refusal(LATENT, data=3) == (
            "an expert width of 512 cannot be split over 3 GPUs, which is tensor times data parallelism: "
            "with expert parallelism each GPU has whole experts"
        )
        assert refusal(LATENT, data=3, expert_parallel=True) is None

    def test_expert_parallelism_frees_experts_of_their_width(self) -> None:
        """A rank has 24 of 96 channels: less than the smallest tile that the engine refines blocks to."""
        blocks = {
            **MIXTURE,
            "mlp_only_layers": [],
            "moe_intermediate_size": 96,
            "quantization_config": FP8_BLOCKS,
        }
        assert refusal(blocks, tensor=4) is not None
        whole = {**blocks, "moe_intermediate_size": 128}
        assert refusal(whole, tensor=4) is None
        assert refusal(whole, tensor=4, expert_parallel=True) is None

    def test_a_dense_model_has_none_to_spread(self) -> None:
        assert "no experts" in (refusal(DENSE, expert_parallel=True) or "")

    def test_replicas_of_a_dense_model_share_nothing(self) -> None:
        assert refusal(DENSE, data=3) is None


class TestPipelines:
    def test_stages_need_layers(self) -> None:
        assert refusal(DENSE, pipeline=4) is None
        assert refusal(DENSE, pipeline=8) == ("4 layers cannot fill 8 pipeline stages: up to 4 can")

    def test_an_architecture_without_them_is_named(self) -> None:
        assert refusal(FAMILIES["encoder"], pipeline=2) == (
            "BertModel cannot run in pipeline stages: 1 stage can"
        )

    @pytest.mark.parametrize(
        ("architectures", "expected"),
        [
            (["LlamaForCausalLM"], True),
            (["WhisperForConditionalGeneration"], False),
            (["New"], None),
            ([], None),
        ],
    )
    def test_unknown_is_none(self, architectures: list[str], expected: bool | None) -> None:
        assert runs_in_stages(model_config({"architectures": architectures})) is expected


class TestUnknown:
    def test_nothing_known_is_none_and_refuses_nothing(self) -> None:
        assert accepted({}) is None
        assert refusal({}, tensor=7, data=3) is None

    def test_heads_alone_are_heeded(self) -> None:
        """A family whose other sizes are not known."""
        assert accepted({"num_attention_heads": 12}) == (1, 2, 4)

    def test_an_unknown_quantization_leaves_the_other_rules(self) -> None:
        config = {**PHI4, "quantization_config": {"quant_method": "of-next-year"}}
        assert accepted(config) == (1, 2, 5, 10)

    def test_kv_heads_of_an_unknown_family_are_heeded(self) -> None:
        config = {"num_attention_heads": 12, "num_key_value_heads": 3, "hidden_size": 768}
        assert accepted(config) == (1,)


def test_a_model_that_no_size_suits_is_reported() -> None:
    nvfp4 = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}
    odd = {**DENSE, "hidden_size": 1000, "head_dim": 64, "quantization_config": nvfp4}
    assert refusal(odd) == (
        "a width of 1000 in groups of 16 cannot be held by the engine on any number of GPUs"
    )


def test_sizes_offered_with_expert_parallelism_are_those_that_it_allows() -> None:
    """Experts 500 wide do not divide by 8, and need not."""
    odd = {**MIXTURE, "moe_intermediate_size": 500}
    assert (refusal(odd, tensor=3) or "").endswith(": 1, 2 or 4 can")
    whole = refusal(odd, tensor=3, expert_parallel=True) or ""
    assert whole.endswith(": 1, 2, 4, 8 or 16 can")


@given(
    heads=strategies.integers(min_value=1, max_value=128),
    kv_heads=strategies.integers(min_value=1, max_value=128),
    width=strategies.integers(min_value=1, max_value=40000),
    vocabulary=strategies.integers(min_value=1, max_value=300000),
)
def test_an_accepted_size_divides_everything(heads: int, kv_heads: int, width: int, vocabulary: int) -> None:
    config = {
        **DENSE,
        "head_dim": 64,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": width,
        "vocab_size": vocabulary,
    }
    for ranks in accepted(config) or ():
        assert heads % ranks == 0
        assert kv_heads % ranks == 0 or ranks % kv_heads == 0
        assert width % ranks == 0
        assert -(-vocabulary // 64) * 64 % ranks == 0
