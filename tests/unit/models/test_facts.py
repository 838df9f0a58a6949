"""Bytes of parameters on a rank, against what the engine itself counted."""

from typing import Any

import pytest
from hypothesis import given, strategies

from nim.models.config.model_config import model_config
from nim.models.facts import facts_of
from nim.models.weights.weight_matrices import Ranks
from tests.unit.models.weights.configs import DENSE, FAMILIES, FP8_BLOCKS, LATENT, MIXTURE, Config
from tests.unit.models.weights.figures import COUNTED

SIZES = ("tensor", "pipeline", "data", "expert_parallel")


def counted(config: Config, **said: Any) -> int | None:
    """Return the bytes of parameters of the model with this `config.json`."""
    ranks = Ranks(**{name: said.pop(name) for name in SIZES if name in said})
    return facts_of(model_config(config)).rank_bytes(ranks, **said)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_accepted_size_is_counted_as_the_engine_counts(family: str) -> None:
    """Vectors are left out, which these small models have more of than large ones."""
    for ranks, expected in COUNTED[family].items():
        assert counted(FAMILIES[family], tensor=ranks) == pytest.approx(expected, rel=0.011)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"data": 2}, 314_656_768),
        ({"data": 2, "tensor": 2}, 157_370_368),
    ],
)
def test_replicas_share_each_expert_out(sizes: dict[str, int], expected: int) -> None:
    """Figures of vLLM for a small Mixtral: replicas split experts together unless each has whole ones."""
    mixtral = {
        **DENSE,
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "vocab_size": 4096,
        "num_local_experts": 8,
        "intermediate_size": 2816,
    }
    assert counted(mixtral, **sizes) == pytest.approx(expected, rel=0.005)


def test_experts_of_gpt_oss_are_padded_to_the_kernels_of_the_gpu() -> None:
    """The figure is vLLM's for gpt-oss-20b, told that it runs on a B200."""
    gpt_oss = {
        **FAMILIES["gpt-oss in MXFP4"],
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "num_hidden_layers": 24,
        "num_local_experts": 32,
        "vocab_size": 201088,
        "layer_types": ["sliding_attention", "full_attention"] * 12,
    }
    assert counted(gpt_oss, capability=(10, 0)) == pytest.approx(14_679_227_520, rel=0.005)
    assert counted(gpt_oss, capability=(9, 0)) == pytest.approx(13_761_264_768, rel=0.005)


def test_expert_parallelism_spreads_whole_experts() -> None:
    whole, spread = counted(LATENT), counted(LATENT, data=8, expert_parallel=True)
    experts = 3 * 16 * 3 * 1024 * 512 * 2
    assert whole is not None
    assert spread is not None
    assert whole - spread == experts * 7 // 8


def test_experts_that_do_not_divide_burden_the_first_ranks() -> None:
    odd = counted({**MIXTURE, "num_experts": 18}, tensor=4, expert_parallel=True)
    even = counted({**MIXTURE, "num_experts": 20}, tensor=4, expert_parallel=True)
    assert odd == pytest.approx(even, rel=0.001)  # but for two rows of the router


def test_stages_of_a_pipeline_hold_their_layers_and_one_end() -> None:
    """Four layers in two stages, each with one table of the vocabulary."""
    whole, stage = counted(DENSE), counted(DENSE, pipeline=2)
    assert whole is not None
    assert stage == whole // 2


def test_some_families_build_both_tables_on_every_stage() -> None:
    table = 32064 * 1024 * 2
    whole, stage = counted(MIXTURE), counted(MIXTURE, pipeline=2)
    assert whole is not None
    assert stage is not None
    assert stage > (whole - 2 * table) // 2 + 2 * table


def test_32_bit_weights_are_served_in_16_bits_unless_configured() -> None:
    stored = {**DENSE, "torch_dtype": "float32"}
    assert counted(stored) == counted(DENSE)
    assert counted(stored, dtype="float32") == 2 * (counted(DENSE) or 0)


@pytest.mark.parametrize(("quantize", "bits"), [("fp8", 8), ("fp8_per_tensor", 8), ("mxfp4", 4.25)])
def test_quantization_on_the_fly_leaves_embedding_and_head(quantize: str, bits: float) -> None:
    tables = 2 * 32064 * 1024 * 2
    layers = (counted(DENSE) or 0) - tables
    assert counted(DENSE, quantize=quantize) == pytest.approx(tables + layers * bits / 16, rel=0.001)


@pytest.mark.parametrize(
    "unknown",
    [
        {"architectures": ["NewForCausalLM"], "model_type": "new-family", "hidden_size": 64},
        {**DENSE, "quantization_config": {"quant_method": "of-next-year"}},
        {**DENSE, "architectures": ["HrmTextForCausalLM"], "model_type": "hrm_text"},
    ],
)
def test_what_is_not_known_is_none(unknown: Config) -> None:
    assert counted(unknown) is None


def test_an_unknown_family_with_all_sizes_is_counted_as_a_common_decoder() -> None:
    assert counted({**DENSE, "architectures": ["NewForCausalLM"], "model_type": "new-family"}) == counted(
        DENSE
    )


def test_a_size_that_the_engine_refuses_has_no_bytes() -> None:
    assert counted(DENSE, tensor=3) is None


class TestOnDisk:
    """The files decide where they differ much from the configuration, or where it says too little."""

    def test_files_close_to_the_configuration_change_nothing(self) -> None:
        """DeepSeek's files have a draft layer that is not loaded."""
        whole = counted(LATENT) or 0
        assert counted(LATENT, loaded=int(whole * 1.02)) == whole

    def test_other_files_scale_what_the_configuration_says(self) -> None:
        whole = counted(DENSE) or 0
        half = counted(DENSE, tensor=2) or 0
        scaled = counted(DENSE, tensor=2, loaded=int(whole * 1.5))
        assert scaled == pytest.approx(half * 1.5, rel=1e-6)

    def test_files_are_quantized_on_the_fly(self) -> None:
        whole = counted(DENSE) or 0
        assert counted(DENSE, loaded=whole, quantize="fp8") == counted(DENSE, quantize="fp8")


@given(
    family=strategies.sampled_from([name for name in FAMILIES if name != "delta attention of Kimi"]),
    quantization=strategies.sampled_from([None, FP8_BLOCKS]),
    heads=strategies.sampled_from([8, 12, 16, 24, 32]),
    kv_heads=strategies.sampled_from([1, 2, 4, 8]),
    width=strategies.sampled_from([1024, 1536, 2816, 5504]),
    experts=strategies.integers(min_value=2, max_value=24),
)
def test_more_ranks_never_hold_more_bytes_each(
    family: str, quantization: Config | None, heads: int, kv_heads: int, width: int, experts: int
) -> None:
    config = {
        **FAMILIES[family],
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": width,
        "num_experts": experts,
    }
    if quantization is not None and "quantization_config" not in config:
        config["quantization_config"] = quantization
    sizes = facts_of(model_config(config)).tensor_parallel_sizes() or ()
    found = [counted(config, tensor=ranks) for ranks in sizes]
    known = [each for each in found if each is not None]
    assert known == sorted(known, reverse=True)
