"""Each part of a recipe and what it becomes in the manifest."""

from typing import Any

import pytest

from nim.errors import ManifestError
from nim.manifest.find_problems import manifest_problems
from nim.recipes.importer import Choice, RecipeRefused
from tests.unit.recipes.small import (
    EVERYTHING,
    TABLE,
    chosen,
    drafted,
    labels,
    made,
    notes,
    options,
    recipe,
    the,
    weights,
)

TOOLS = {
    "description": "Tools",
    "args": ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"],
}
REASONING = {"description": "Thinks", "args": ["--reasoning-parser", "qwen3"]}
MTP = {
    "description": "Drafts.",
    "args": ["--speculative-config", '{"method":"mtp","num_speculative_tokens":2}'],
}


def test_facts_of_the_model_are_imported() -> None:
    model = made(recipe(model={"active_parameters": "1.5B"})).model
    assert model is not None
    assert (model.name, model.source) == ("acme/Rocket-8B", "hf://acme/Rocket-8B")
    assert model.max_model_len == 131072
    assert model.parameters is not None
    assert (model.parameters.total_billions, model.parameters.active_billions) == (8, 1.5)
    assert (model.license, model.kv_cache) == (None, None)


@pytest.mark.parametrize(
    ("written", "billions"), [("2.8T", 2800), ("350M", 0.35), ("0.8B", 0.8), ("a lot", None), (None, None)]
)
def test_parameters_are_counted_where_they_are_a_number(written: str | None, billions: float | None) -> None:
    gb = 6000
    found = made(recipe(model={"parameter_count": written} if written else {}, variants=variants(gb)))
    if written is None:
        billions = 8
    assert found.model is not None
    assert (found.model.parameters.total_billions if found.model.parameters else None) == billions


def variants(gb: float) -> dict[str, Any]:
    return {"default": weights("nvfp4", gb=min(gb, 1800))}


def test_no_context_is_unknown() -> None:
    model = made(recipe(model={"context_length": 0})).model
    assert model is not None
    assert model.max_model_len is None


def test_variants_become_checkpoints_of_their_precision() -> None:
    manifest = made(
        recipe(
            variants={
                "default": weights(gb=20),
                "fp8": weights(
                    "fp8", gb=10, model_id="acme/Rocket-8B-FP8", extra_args=["--kv-cache-dtype", "fp8"]
                ),
            }
        )
    )
    assert labels(manifest) == ["vllm-bf16-tp1-pp1", "vllm-fp8-tp1-pp1"]
    assert the(manifest, "vllm-bf16-tp1-pp1").source == "hf://acme/Rocket-8B"
    fp8 = the(manifest, "vllm-fp8-tp1-pp1")
    assert fp8.source == "hf://acme/Rocket-8B-FP8"
    assert fp8.engine.args == {"kv-cache-dtype": "fp8"}
    assert manifest_problems(manifest) == ()


def test_the_memory_is_the_engines_share_of_what_the_gpus_must_have() -> None:
    manifest = made(recipe(variants={"default": weights(gb=170)}, model={"parameter_count": "70B"}))
    assert {p.tensor_parallel_size: p.memory_gb for p in manifest.profiles} == {
        1: 156.4,
        2: 78.2,
        4: 39.1,
        8: 19.6,
    }
    told = recipe(
        variants={"default": weights(gb=100)}, model={"base_args": ["--gpu-memory-utilization", "0.5"]}
    )
    assert {p.tensor_parallel_size: p.memory_gb for p in made(told).profiles}[1] == 50


def test_weights_that_are_less_than_parameters_times_bytes_are_given_as_such() -> None:
    mixed = recipe(variants={"default": weights("fp8", gb=170)}, model={"parameter_count": "284B"})
    assert {profile.weights_gb for profile in made(mixed).profiles} == {170}
    assert {profile.weights_gb for profile in made(recipe()).profiles} == {None}


def test_eight_h200_get_the_lowest_precision_on_the_most_gpus() -> None:
    both = recipe(
        variants={
            "default": weights(gb=850),
            "fp8": weights("fp8", gb=430),
            "nvfp4": weights("nvfp4", gb=215),
        },
        model={"parameter_count": "358B"},
    )
    manifest = made(both)
    assert chosen(manifest, "8xH200").chosen.label == "vllm-fp8-tp8-pp1"
    assert chosen(manifest, "8xB200").chosen.label == "vllm-nvfp4-tp8-pp1"
    assert chosen(manifest, "4xH200").chosen.label == "vllm-fp8-tp4-pp1"


def test_features_are_on_and_say_where_they_come_from() -> None:
    draft = drafted(recipe(features={"tool_calling": TOOLS, "reasoning": REASONING}))
    args = draft.profiles[0].options.args
    assert {name: said.value for name, said in args.items()} == {
        "enable-auto-tool-choice": True,
        "tool-call-parser": "hermes",
        "reasoning-parser": "qwen3",
    }
    assert args["reasoning-parser"].key == "features.reasoning"
    assert draft.variants == ()


def test_opt_in_features_are_variants_and_off() -> None:
    manifest = made(
        recipe(features={"spec_decoding": MTP, "tool_calling": TOOLS}, opt_in_features=["spec_decoding"])
    )
    assert "speculative-config" not in manifest.profiles[0].engine.args
    variant = manifest.variants["spec-decoding"]
    assert variant.summary == "Drafts"
    assert variant.engine.args == {"speculative-config": {"method": "mtp", "num_speculative_tokens": 2}}


def test_each_mode_of_a_feature_is_a_variant_and_hardware_makes_more() -> None:
    modes = {
        "mtp": {
            "description": "Its own head.",
            "args": MTP["args"],
            "hardware_overrides": {
                "hopper": {"args": ["--speculative-config", '{"method":"mtp","num_speculative_tokens":1}']},
                "amd": {"args": ["--no-such-option"]},
            },
        },
        "draft": {"description": "A model.", "args": MTP["args"], "variants": ["default"]},
        "other": {"description": "Not for us.", "args": MTP["args"], "variants": ["elsewhere"]},
    }
    feature = {"description": "Drafts", "default_mode": "mtp", "modes": modes}
    manifest = made(
        recipe(
            features={"spec_decoding": feature},
            opt_in_features=["spec_decoding"],
            variants={"default": weights(), "fp8": weights("fp8", gb=10)},
        )
    )
    assert list(manifest.variants) == ["spec-decoding-mtp", "spec-decoding-mtp-hopper", "spec-decoding-draft"]
    hopper = manifest.variants["spec-decoding-mtp-hopper"]
    assert hopper.engine.args["speculative-config"]["num_speculative_tokens"] == 1
    assert "hopper" in hopper.summary
    assert manifest.variants["spec-decoding-draft"].summary == "A model (for bf16 alone)"


def test_a_mode_is_on_where_its_feature_is() -> None:
    modes = {"one": {"args": MTP["args"]}, "two": {"args": ["--speculative-config", '{"method":"ngram"}']}}
    fp8 = weights("fp8", gb=10, default_modes={"spec_decoding": "two"})
    manifest = made(
        recipe(
            features={"spec_decoding": {"default_mode": "one", "modes": modes}},
            variants={"default": weights(), "fp8": fp8},
        )
    )
    methods = {p.precision: p.engine.args["speculative-config"]["method"] for p in manifest.profiles}
    assert methods == {"bf16": "mtp", "fp8": "ngram"}


def test_a_feature_for_another_strategy_is_left_out() -> None:
    feature = MTP | {"strategies": ["pd_cluster"]}
    on = drafted(recipe(features={"spec_decoding": feature}))
    assert on.profiles[0].options.args == {}
    asked = drafted(recipe(features={"spec_decoding": feature}, opt_in_features=["spec_decoding"]))
    assert asked.variants == ()
    assert "single_node_tp" in notes(asked)["features.spec_decoding"]


def test_a_feature_can_be_off_on_some_hardware() -> None:
    feature = {"description": "Encoder", "args": ["--mm-encoder-tp-mode", "data"]}
    manifest = made(recipe(features={"encoder": feature}, hardware_opt_in_features={"gb200": ["encoder"]}))
    assert the(manifest, "vllm-bf16-tp1-pp1").engine.args == {"mm-encoder-tp-mode": "data"}
    assert the(manifest, "vllm-nvidia-gb200-bf16-tp1-pp1").engine.args == {}
    assert "encoder" in manifest.variants


def test_a_feature_is_off_where_it_does_not_run() -> None:
    feature = TOOLS | {"hardware": {"h100": "unsupported", "hopper": "verified", "mi300x": "unsupported"}}
    manifest = made(recipe(features={"tool_calling": feature}))
    assert "tool-call-parser" in the(manifest, "vllm-bf16-tp1-pp1").engine.args
    assert the(manifest, "vllm-nvidia-h100-bf16-tp1-pp1").engine.args == {}
    assert len({chosen(manifest, gpus).profile.label for gpus in ("1xH200", "1xB200")}) == 1


def test_a_mode_is_off_where_it_does_not_run() -> None:
    modes = {"one": {"args": MTP["args"], "hardware": {"hopper": "unsupported"}}}
    manifest = made(recipe(features={"spec_decoding": {"default_mode": "one", "modes": modes}}))
    assert "speculative-config" in chosen(manifest, "1xB200").profile.engine.args
    assert "speculative-config" not in chosen(manifest, "1xH200").profile.engine.args


def test_a_variant_says_where_it_does_not_run() -> None:
    """It is added by name, on whatever hardware there is."""
    hardware = {"rtx_5090": "unsupported", "mi300x": "unsupported"}
    feature = MTP | {"hardware": hardware, "hardware_overrides": {"rtx_5090": {"args": MTP["args"]}}}
    found = recipe(features={"spec_decoding": feature}, opt_in_features=["spec_decoding"])
    (variant,) = made(found).variants.values()
    assert variant.summary == "Drafts (not on rtx_5090)"
    nowhere = recipe(
        features={"spec_decoding": MTP | {"hardware": {"nvidia": "unsupported"}}},
        opt_in_features=["spec_decoding"],
    )
    assert drafted(nowhere).variants == ()
    assert notes(drafted(nowhere))["features.spec_decoding.hardware.nvidia"] == "unsupported"


def test_one_generation_has_a_profile_of_its_own() -> None:
    override = {"extra_args": ["--async-scheduling"], "extra_env": {"VLLM_USE_DEEP_GEMM": "0"}}
    manifest = made(recipe(hardware_overrides={"hopper": override}))
    hopper = the(manifest, "vllm-nvidia-hopper-bf16-tp1-pp1")
    assert hopper.engine.args == {"async-scheduling": True}
    assert hopper.engine.env == {"VLLM_USE_DEEP_GEMM": "0"}
    assert chosen(manifest, "1xH200").profile == hopper
    assert chosen(manifest, "1xH20").profile == hopper
    assert chosen(manifest, "1xL40S").chosen.label == "vllm-bf16-tp1-pp1"


def test_a_machine_is_distinguished_from_its_generation() -> None:
    manifest = made(
        recipe(
            hardware_overrides={
                "hopper": {"extra_args": ["--max-num-seqs", "8"]},
                "h100": {"extra_args": ["--max-num-seqs", "4"]},
            }
        )
    )
    seqs = {gpus: chosen(manifest, gpus).profile.engine.args["max-num-seqs"] for gpus in ("1xH100", "1xH200")}
    assert seqs == {"1xH100": 4, "1xH200": 8}


def test_what_holds_for_all_of_nvidias_gpus_holds_everywhere() -> None:
    manifest = made(recipe(hardware_overrides={"nvidia": {"extra_args": ["--max-num-seqs", "8"]}}))
    assert labels(manifest) == ["vllm-bf16-tp1-pp1"]
    assert manifest.profiles[0].engine.args == {"max-num-seqs": 8}


def test_an_override_that_changes_nothing_makes_no_profile() -> None:
    manifest = made(recipe(hardware_overrides={"hopper": {"extra_args": [], "extra_env": {}}}))
    assert labels(manifest) == ["vllm-bf16-tp1-pp1"]


def test_the_variants_word_on_hardware_beats_the_models() -> None:
    default = weights(hardware_overrides={"hopper": {"extra_args": ["--moe-backend", "triton"]}})
    found = recipe(
        hardware_overrides={"hopper": {"extra_args": ["--moe-backend", "marlin", "--max-num-seqs", "8"]}},
        variants={"default": default | {"extra_args": ["--moe-backend", "auto"]}},
    )
    args = the(made(found), "vllm-nvidia-hopper-bf16-tp1-pp1").engine.args
    assert args == {"moe-backend": "triton", "max-num-seqs": 8}


def test_a_strategys_hardware_override_replaces_the_others() -> None:
    default = weights(hardware_overrides={"hopper": {"extra_args": ["--moe-backend", "triton"]}})
    strategy = {"hardware_overrides": {"hopper": {"extra_args": ["--async-scheduling"]}}}
    found = recipe(variants={"default": default}, strategy_overrides={"single_node_tp": strategy})
    assert the(made(found), "vllm-nvidia-hopper-bf16-tp1-pp1").engine.args == {"async-scheduling": True}


def test_desktop_gpus_have_their_generations_profile_where_it_was_tried_on_them() -> None:
    override = {"blackwell": {"extra_args": ["--moe-backend", "deep_gemm_mega_moe"]}}
    found = recipe(hardware_overrides=override)
    assert chosen(made(found), "1xB200").chosen.label == "vllm-nvidia-blackwell-bf16-tp1-pp1"
    assert chosen(made(found), "1xRTX-PRO-6000").chosen.label == "vllm-bf16-tp1-pp1"
    tried = recipe(hardware_overrides=override, meta={"hardware": {"rtx_pro_6000": "verified"}})
    assert chosen(made(tried), "1xRTX-PRO-6000").chosen.label == "vllm-nvidia-blackwell-bf16-tp1-pp1"


def test_lower_precision_stays_preferred_where_a_higher_one_is_treated_apart() -> None:
    fp8 = weights("fp8", gb=10, hardware_overrides={"blackwell": {"extra_args": ["--async-scheduling"]}})
    manifest = made(recipe(variants={"default": weights(), "fp8": fp8, "nvfp4": weights("nvfp4", gb=6)}))
    assert chosen(manifest, "1xB200").chosen.label == "vllm-nvidia-blackwell-nvfp4-tp1-pp1"
    assert "vllm-nvidia-blackwell-bf16-tp1-pp1" not in labels(manifest)


def test_a_precision_runs_on_a_gpu_without_its_arithmetic_where_the_variant_says_so() -> None:
    plain = recipe(
        variants={"default": weights("nvfp4", gb=10)},
        hardware_overrides={"hopper": {"extra_args": ["--async-scheduling"]}},
    )
    assert labels(made(plain)) == ["vllm-nvfp4-tp1-pp1"]
    own = weights("nvfp4", gb=10, hardware_overrides={"hopper": {"extra_args": ["--async-scheduling"]}})
    manifest = made(recipe(variants={"default": own}))
    assert chosen(manifest, "1xH100").chosen.label == "vllm-nvidia-hopper-nvfp4-tp1-pp1"


def test_weights_for_some_hardware_have_profiles_for_that_alone() -> None:
    fp8 = weights("fp8", gb=38, supported_hardware=["h100", "mi300x", "rtx_5090_2x"])
    manifest = made(recipe(variants={"default": weights(), "fp8": fp8}))
    assert labels(manifest) == [
        "vllm-bf16-tp1-pp1",
        "vllm-nvidia-h100-fp8-tp1-pp1",
        "vllm-nvidia-h100-fp8-tp2-pp1",
        "vllm-nvidia-rtx-5090-fp8-tp2-pp1",
    ]
    assert chosen(manifest, "1xH200").chosen.label == "vllm-bf16-tp1-pp1"


def test_a_minimum_that_the_gpu_misses_is_unknown_where_the_recipe_was_tried() -> None:
    tight = weights("fp8", gb=36, hardware_overrides={"rtx_5090": {"extra_args": ["--max-num-seqs", "4"]}})
    draft = drafted(recipe(variants={"default": tight}))
    (profile,) = [p for p in draft.profiles if p.tags.get("gpu") == "RTX-5090"]
    assert profile.memory_gb is None
    assert "36 GB" in (profile.comment or "")


def test_gpus_that_need_another_image_or_do_not_run_it_are_left_out() -> None:
    default = weights(
        hardware_overrides={"dgx_spark_gb10": {"docker_image": "acme/spark:1", "extra_args": ["--b12x-x"]}}
    )
    found = recipe(
        variants={"default": default},
        hardware_overrides={"blackwell": {"extra_args": ["--async-scheduling"]}},
        meta={"hardware": {"dgx_spark_gb10": "verified", "b300": "unsupported"}},
    )
    draft = drafted(found)
    assert "acme/spark:1" in notes(draft)["variants.default.hardware_overrides.dgx_spark_gb10"]
    assert "GB10" not in str(draft.profiles)
    own = weights(hardware_overrides={"h100": {"docker_image": "vllm/vllm-openai:v0.25.0"}})
    assert labels(made(recipe(variants={"default": own}))) == ["vllm-bf16-tp1-pp1"]


def test_hardware_that_is_known_not_to_run_is_left_out() -> None:
    found = recipe(
        hardware_overrides={"b300": {"extra_args": ["--async-scheduling"]}},
        meta={"hardware": {"b300": "unsupported"}},
    )
    draft = drafted(found)
    assert notes(draft)["meta.hardware.b300"] == "unsupported"
    assert [profile.tags.get("gpu") for profile in draft.profiles] == [None]


def test_hardware_that_is_known_not_to_run_is_in_no_generations_profile() -> None:
    found = recipe(
        hardware_overrides={"hopper": {"extra_args": ["--async-scheduling"]}},
        meta={"hardware": {"h100": "unsupported"}},
    )
    assert chosen(made(found), "1xH200").chosen.label == "vllm-nvidia-hopper-bf16-tp1-pp1"
    assert chosen(made(found), "1xH100").chosen.label == "vllm-bf16-tp1-pp1"
    assert notes(drafted(found))["meta.hardware.h100"] == "unsupported"


@pytest.mark.parametrize("key", ["amd", "mi355x", "trillium", "gaudi3"])
def test_overrides_for_other_makers_hardware_may_have_any_form(key: str) -> None:
    """It does not come along, whatever it is."""
    said = {"install_note": "build it", "wheel": ["a", {"b": 1}], "extra_args": "--x"}
    feature = TOOLS | {"hardware_overrides": {key: {"env": {"A": 1}}}}
    found = recipe(
        hardware_overrides={key: said},
        features={"tool_calling": feature},
        variants={"default": weights(hardware_overrides={key: None})},
    )
    assert notes(drafted(found)) == {"hardware": f"this engine does not run on {key}"}
    with pytest.raises(ManifestError, match="unknown field 'wheel'"):
        recipe(hardware_overrides={"hopper": {"wheel": "x"}})


def test_a_note_for_people_is_no_option() -> None:
    assert labels(made(recipe(hardware_overrides={"hopper": {"install_note": "build it"}}))) == [
        "vllm-bf16-tp1-pp1"
    ]


def test_other_makers_hardware_is_named_as_left_out() -> None:
    found = recipe(
        hardware_overrides={"amd": {"extra_args": ["--no-such-option"]}},
        meta={"hardware": {"trillium": "verified", "h100": "verified"}},
        variants={"default": weights(hardware_overrides={"mi300x": {"extra_args": ["--nor-this"]}})},
    )
    assert notes(drafted(found))["hardware"] == "this engine does not run on trillium, amd, mi300x"


@pytest.mark.parametrize(
    "where",
    [
        {"strategy_overrides": {"single_node_tp": {"tp": 4}}},
        {"model": {"base_args": ["--tensor-parallel-size", "4"]}},
        {"variants": {"default": weights(gb=20, tp=4)}},
        {"variants": {"default": weights(gb=20, extra_args=["-tp", "4"])}},
    ],
)
def test_a_parallel_size_that_the_recipe_gives_is_the_only_one(where: dict[str, Any]) -> None:
    manifest = made(recipe(**where))
    assert labels(manifest) == ["vllm-bf16-tp4-pp1"]
    assert manifest.profiles[0].engine.args == {}


def test_a_parallel_size_can_be_that_of_one_machine() -> None:
    expected = ["vllm-bf16-tp1-pp1", "vllm-nvidia-h200-bf16-tp2-pp1"]
    found = recipe(strategy_overrides={"single_node_tp": {"tp": {"h200": 2, "xeon6": 4}}})
    assert labels(made(found)) == expected
    found = recipe(variants={"default": weights(tp={"h200": 2, "mi300x": 4})})
    assert labels(made(found)) == expected


def test_a_size_for_hardware_counts_before_one_for_all() -> None:
    """Of the machine or of its generation."""
    default = weights(tp={"hopper": 2})
    found = recipe(variants={"default": default}, strategy_overrides={"single_node_tp": {"tp": 4}})
    manifest = made(found)
    sizes = {gpus: chosen(manifest, gpus).chosen.tags["tp"] for gpus in ("8xH200", "8xB200")}
    assert sizes == {"8xH200": "2", "8xB200": "4"}


def test_weights_for_some_machines_have_a_size_on_each() -> None:
    default = weights(
        "nvfp4", 180, supported_hardware=["b200", "b300"], tp={"b200": 2, "b300": 1, "mi355x": 1}
    )
    assert labels(made(recipe(variants={"default": default}))) == [
        "vllm-nvidia-b200-nvfp4-tp2-pp1",
        "vllm-nvidia-b300-nvfp4-tp1-pp1",
    ]


def test_large_models_run_on_several_machines_where_the_recipe_joins_them_so() -> None:
    args = ["--max-num-batched-tokens", "8192", "--gpu-memory-utilization", "0.8"]
    extra = {"extra_args": args, "extra_env": {"NCCL_CUMEM_ENABLE": "1"}}
    large = recipe(
        variants={"default": weights("fp8", gb=1200)},
        model={"parameter_count": "1T"},
        compatible_strategies=["single_node_tp", "multi_node_tp_pp", "multi_node_dep"],
        strategy_overrides={"multi_node_tp_pp": extra},
    )
    manifest = made(large)
    joined = the(manifest, "vllm-fp8-tp8-pp2")
    assert joined.engine.args == {"max-num-batched-tokens": 8192, "gpu-memory-utilization": 0.8}
    assert joined.memory_gb == 60
    assert joined.engine.env == {"NCCL_CUMEM_ENABLE": "1"}
    assert the(manifest, "vllm-fp8-tp8-pp1").engine.args == {}
    assert "multi_node_dep" in notes(drafted(large))["compatible_strategies"]
    alone = recipe(variants={"default": weights("fp8", gb=1200)}, model={"parameter_count": "1T"})
    assert [p.pipeline_parallel_size for p in made(alone).profiles] == [1]


def test_experts_can_be_spread_by_default_or_on_wish() -> None:
    ways = ["single_node_tp", "single_node_tep"]
    override = {
        "single_node_tep": {
            "extra_args": ["--all2all-backend", "allgather_reducescatter"],
            "hardware_overrides": {"blackwell": {"extra_args": ["--moe-backend", "deep_gemm_mega_moe"]}},
        }
    }
    wish = made(recipe(compatible_strategies=ways, strategy_overrides=override))
    assert wish.profiles[0].engine.args == {}
    assert wish.variants["expert-parallel"].engine.args == {
        "enable-expert-parallel": True,
        "all2all-backend": "allgather_reducescatter",
    }
    assert wish.variants["expert-parallel-blackwell"].engine.args["moe-backend"] == "deep_gemm_mega_moe"
    default = made(
        recipe(compatible_strategies=ways, strategy_overrides=override, default_strategy="single_node_tep")
    )
    assert default.variants == {}
    assert the(default, "vllm-bf16-tp1-pp1").engine.args["enable-expert-parallel"] is True
    assert (
        the(default, "vllm-nvidia-blackwell-bf16-tp1-pp1").engine.args["moe-backend"] == "deep_gemm_mega_moe"
    )


def test_a_strategy_that_no_profile_can_express_is_noted() -> None:
    draft = drafted(recipe(default_strategy="single_node_dep"))
    assert "single_node_tp" in notes(draft)["default_strategy"]


def test_a_cpu_that_it_was_verified_on_has_a_profile() -> None:
    cpu = {"extra_args": ["--max-model-len", "8192"], "extra_env": {"VLLM_CPU_KVCACHE_SPACE": "40"}}
    found = recipe(
        meta={"hardware": {"xeon6": "verified"}},
        hardware_overrides={"cpu": cpu},
        strategy_overrides={"single_node_tp": {"tp": {"xeon6": 2}}},
        variants={"default": weights(), "fp8": weights("fp8", gb=10)},
    )
    manifest = made(found)
    profile = the(manifest, "vllm-cpu-bf16-tp1-pp1")
    assert profile.memory_gb == 63
    assert profile.engine.args == {"max-model-len": 8192}
    assert labels(manifest).count("vllm-cpu-fp8-tp1-pp1") == 0
    assert any("2 NUMA nodes" in (p.comment or "") for p in drafted(found).profiles)
    assert not any(p.on_cpu for p in made(recipe()).profiles)


def test_environment_is_kept_at_every_level() -> None:
    found = recipe(
        model={"base_env": {"VLLM_ENGINE_READY_TIMEOUT_S": "3600"}},
        variants={"default": weights(extra_env={"VLLM_USE_FLASHINFER_MOE_FP4": "1"})},
        hardware_overrides={"hopper": {"extra_env": {"VLLM_USE_DEEP_GEMM": "0"}}},
        strategy_overrides={
            "single_node_tp": {"extra_env": {"NCCL_CUMEM_ENABLE": "1"}, "env": {"UCX_TLS": "rc"}}
        },
    )
    assert the(made(found), "vllm-nvidia-hopper-bf16-tp1-pp1").engine.env == {
        "VLLM_ENGINE_READY_TIMEOUT_S": "3600",
        "VLLM_USE_FLASHINFER_MOE_FP4": "1",
        "NCCL_CUMEM_ENABLE": "1",
        "UCX_TLS": "rc",
        "VLLM_USE_DEEP_GEMM": "0",
    }


def test_the_name_it_is_served_under_is_the_models() -> None:
    manifest = made(recipe(model={"base_args": ["--served-model-name", "acme/rocket"]}))
    assert manifest.name == "acme/rocket"
    assert manifest.profiles[0].source == "hf://acme/Rocket-8B"


def test_weights_of_one_precision_are_imported_one_at_a_time() -> None:
    several = recipe(
        variants={
            "default": weights(),
            "small": weights(gb=5, model_id="acme/Rocket-2B"),
            "fp8": weights("fp8", gb=10),
        }
    )
    draft = drafted(several)
    assert [checkpoint.variant for checkpoint in draft.checkpoints] == ["default", "fp8"]
    assert "--variant small" in notes(draft)["variants.small"]
    small = made(several, Choice(variants=("small",)))
    assert (small.name, labels(small)) == ("acme/Rocket-2B", ["vllm-bf16-tp1-pp1"])
    assert small.model is not None
    assert small.model.parameters is None


@pytest.mark.parametrize("precision", ["fp4", "int2/4/8"])
def test_a_precision_that_could_be_several_is_left_out(precision: str) -> None:
    both = recipe(variants={"default": weights(), "odd": weights(precision, gb=5)})
    draft = drafted(both)
    assert [checkpoint.precision for checkpoint in draft.checkpoints] == ["bf16"]
    assert f"'{precision}'" in notes(draft)["variants.odd"]
    with pytest.raises(RecipeRefused, match="could be several"):
        drafted(recipe(variants={"default": weights(precision)}))


def test_dependencies_and_tested_hardware_are_noted() -> None:
    found = recipe(
        model={"docker_image": {"nvidia": "vllm/vllm-openai:rocket", "amd": "acme/rocm"}},
        dependencies=[
            {"command": "uv pip install -U transformers", "note": "new"},
            {"command": "uv pip install x", "optional": True},
            {"command": "for another", "brand": "Huawei"},
        ],
        kv_offload_support={"offloading_cpu": "verified"},
    )
    said = [str(note) for note in drafted(found).notes]
    assert "model.docker_image: the recipe was tried with vllm/vllm-openai:rocket" in said
    assert "dependencies: must be installed beside the engine: uv pip install -U transformers (new)" in said
    assert any("may be installed" in line for line in said)
    assert not any("for another" in line or "acme/rocm" in line for line in said)
    assert any(line.startswith("kv_offload_support") for line in said)


def test_a_recipe_for_a_nightly_is_imported_with_a_word() -> None:
    draft = drafted(recipe(model={"min_vllm_version": "nightly", "nightly_required": True}))
    assert "'nightly'" in notes(draft)["model.min_vllm_version"]


def refused(*args: Any, **more: Any) -> dict[str, str]:
    choice = more.pop("choice", Choice())
    with pytest.raises(RecipeRefused) as error:
        drafted(recipe(*args, **more), choice)
    assert "rocket.yaml" in str(error.value)
    for reason in error.value.reasons:
        assert str(reason) in str(error.value)
    return {reason.key: reason.text for reason in error.value.reasons}


def test_a_newer_engine_is_refused_in_words() -> None:
    said = refused(model={"min_vllm_version": "99.1.0"})
    assert (
        said["model.min_vllm_version"]
        == f"it needs vLLM 99.1.0 or newer, and this is made for {TABLE.version}"
    )


def test_weights_for_a_newer_engine_stay_behind() -> None:
    newer = weights("fp8", gb=10, min_vllm_version="99.0")
    draft = drafted(recipe(variants={"default": weights(), "fp8": newer}))
    assert "99.0" in notes(draft)["variants.fp8"]
    assert [checkpoint.precision for checkpoint in draft.checkpoints] == ["bf16"]


@pytest.mark.parametrize("more", [{"omni": {"tasks": []}}, {"model": {"docker_image": "vllm/vllm-omni:x"}}])
def test_recipes_for_another_program_are_refused(more: dict[str, Any]) -> None:
    assert "vLLM-Omni" in refused(**more)["omni"]
    assert "vLLM-Omni" in refused(**more, choice=EVERYTHING)["omni"]


def test_unknown_options_are_refused_all_at_once_each_with_its_key() -> None:
    feature = {"description": "x", "args": ["--tool-call-parser", "magic", "--enable-auto-tool-choice"]}
    more: dict[str, Any] = {
        "model": {"base_args": ["--usp", "4", "--max-num-seqs", "8"]},
        "hardware_overrides": {"hopper": {"extra_args": ["--no-such-option"]}},
        "features": {"tool_calling": feature, "later": {"args": ["--ring", "1"]}},
        "opt_in_features": ["later"],
    }
    assert set(refused(**more)) == {
        "model.base_args",
        "hardware_overrides.hopper",
        "features.tool_calling",
        "features.later",
    }
    draft = drafted(recipe(**more), EVERYTHING)
    assert options(draft.profiles[0]) == ({"max-num-seqs": 8}, {})
    assert draft.variants == ()
    dropped = [note for note in draft.notes if note.text.startswith("dropped: ")]
    assert len(dropped) == 4


def test_options_of_ways_that_are_not_taken_do_not_matter() -> None:
    made(recipe(strategy_overrides={"pd_cluster": {"vllm_args": ["--no-such-option"]}}))


def test_what_no_gpu_holds_is_refused() -> None:
    said = refused(variants={"default": weights(gb=9000)}, model={"parameter_count": "4T"})
    assert "9000 GB" in said["variants.default.vram_minimum_gb"]


def test_weights_for_other_makers_alone_are_refused() -> None:
    said = refused(variants={"default": weights("mxfp4", supported_hardware=["mi355x"])})
    assert "mi355x" in said["variants.default"]


def test_a_variant_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(ManifestError, match="'defualt'") as error:
        drafted(recipe(), Choice(variants=("defualt",)))
    assert error.value.hint == "--variant default"
