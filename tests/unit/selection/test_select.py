"""One profile for one machine, and the reasons."""

import random
from dataclasses import replace

import pytest

from nim.errors import ProfileError
from nim.hardware.types import GB, Hardware
from nim.manifest import Manifest
from nim.selection.explain_rejected_profiles import NoProfileFits
from nim.selection.explain_selection import explain
from nim.selection.fit_types import Wishes
from nim.selection.select import Selection, select
from tests.unit.selection.machines import NOTHING, busy, machine, made, shipped, sliced, unmeasured, wishing

ULTRA = "nvidia/nemotron-3-ultra-550b-a55b"
LLAMA = "meta/llama-3.1-8b-instruct"
OMNI = "nvidia/nemotron-3-nano-omni-30b-a3b-reasoning"


def choose(manifest: Manifest, hardware: Hardware, wishes: Wishes | None = None) -> Selection:
    return select(manifest, hardware, wishes or wishing())


def refusal(manifest: Manifest, hardware: Hardware, wishes: Wishes | None = None) -> NoProfileFits:
    with pytest.raises(NoProfileFits) as caught:
        choose(manifest, hardware, wishes)
    assert caught.value.exit_code == 5
    return caught.value


@pytest.mark.parametrize(
    ("model", "gpus", "label"),
    [
        ("nim/demo", "", "vllm-cpu-bf16-tp1-pp1"),
        ("nim/demo", "1xL4", "vllm-bf16-tp1-pp1"),
        (LLAMA, "", "vllm-cpu-bf16-tp1-pp1"),
        (LLAMA, "1xH100", "vllm-fp8-tp1-pp1"),
        (LLAMA, "8xH100", "vllm-fp8-tp2-pp1"),
        (LLAMA, "1xA100", "vllm-bf16-tp1-pp1"),
        (LLAMA, "1xB200", "vllm-nvfp4-tp1-pp1"),
        (ULTRA, "8xH100", "vllm-nvidia-h100-nvfp4-tp8-pp1"),
        (ULTRA, "4xH200", "vllm-nvidia-h200-nvfp4-tp4-pp1"),
        (ULTRA, "8xH200", "vllm-nvidia-h200-nvfp4-tp8-pp1"),
        (ULTRA, "2xB200", "vllm-nvidia-b200-nvfp4-tp2-pp1"),
        (ULTRA, "8xB300", "vllm-nvidia-b300-nvfp4-tp8-pp1"),
        (ULTRA, "4xGB200", "vllm-nvidia-gb200-nvfp4-tp4-pp1"),
        (ULTRA, "2xGB300", "vllm-nvidia-gb300-nvfp4-tp2-pp1"),
        (OMNI, "1xGB10", "vllm-nvidia-gb10-nvfp4-tp1-pp1"),
        (OMNI, "1xH100", "vllm-fp8-tp1-pp1"),
        ("openai/gpt-oss-120b", "1xA100", "vllm-mxfp4-tp1-pp1"),
        ("qwen/qwen3-32b", "2xA100", "vllm-bf16-tp2-pp1"),
        ("meta/llama-3.3-70b-instruct", "4xH100", "vllm-fp8-tp4-pp1"),
    ],
)
def test_machine_gets_its_profile(model: str, gpus: str, label: str) -> None:
    assert choose(shipped(model), machine(gpus)).chosen.label == label


def test_chosen_profile_carries_all_that_it_needs() -> None:
    selection = choose(shipped(ULTRA), machine("2xB200"))
    assert selection.profile.engine.args["max-num-seqs"] == 64
    assert selection.profile.engine.args["kv-cache-dtype"] == "nvfp4"
    assert selection.profile.engine.env["VLLM_USE_FLASHINFER_MOE_FP4"] == "1"
    assert selection.chosen.tags["gpu"] == "B200"
    assert [gpu.index for gpu in selection.devices] == [0, 1]


@pytest.mark.parametrize(
    ("worse", "better", "why"),
    [
        ('precision: nvfp4, tp: "2"', 'precision: bf16, tp: "1", gpu: B200', "made for this GPU"),
        ('precision: bf16, tp: "2"', 'precision: fp8, tp: "1"', "lower precision first (fp8 before bf16)"),
        ('precision: fp8, tp: "2"', 'precision: nvfp4, tp: "1"', "(nvfp4 before fp8)"),
        ('precision: fp8, tp: "1"', 'precision: fp8, tp: "2"', "more GPUs together first (tp2 before tp1)"),
        (
            "precision: fp8, profile: throughput",
            "precision: fp8, profile: latency",
            "latency before throughput",
        ),
        ('precision: fp8, feat_lora: "true"', 'precision: fp8, feat_lora: "false"', "without LoRA before"),
        ('precision: fp8, tp: "1", pp: "2"', 'precision: fp8, tp: "1", pp: "1"', "fewer pipeline stages"),
    ],
)
def test_ranking(worse: str, better: str, why: str) -> None:
    for lines in ((worse, better), (better, worse)):
        selection = choose(made(*lines), machine("2xB200"))
        assert selection.chosen.id == made(*lines).profiles[lines.index(better)].id
        assert why in selection.chosen.because
        assert [refused.needed for refused in selection.refused] == ["to rank first"]
        assert why in selection.refused[0].found
        assert selection.refused[0].change == f"NIM_MODEL_PROFILE={selection.refused[0].label}"


def test_order_in_the_file_does_not_matter() -> None:
    manifest = shipped(ULTRA)
    shuffled = list(manifest.profiles)
    random.Random(7).shuffle(shuffled)
    assert choose(replace(manifest, profiles=tuple(shuffled)), machine("8xB300")) == choose(
        manifest, machine("8xB300")
    )


@pytest.mark.parametrize(
    ("precision", "gpus", "needed"),
    [
        ("fp8", "1xV100", "compute capability 7.5 for fp8"),
        ("mxfp8", "1xT4", "compute capability 8.0 for mxfp8"),
        ("mxfp4", "1xT4", "compute capability 8.0 for mxfp4"),
        ("nvfp4", "1xH200", "compute capability 10.0 for nvfp4"),
        ("bf16", "1xV100", "compute capability 7.5 for bf16"),
        ("fp16", "1xV100", "compute capability 7.5 for fp16"),
    ],
)
def test_precision_needs_its_arithmetic(precision: str, gpus: str, needed: str) -> None:
    (refused,) = refusal(
        made(f"precision: {precision}", more="    resources: {weights_gb: 1}\n"), machine(gpus)
    ).refused
    assert needed in refused.needed


def test_nvfp4_elsewhere_has_to_be_allowed() -> None:
    manifest = made("precision: nvfp4")
    (refused,) = refusal(manifest, machine("1xH200")).refused
    assert refused.change == "NIM_ALLOW_NVFP4_EMULATION=1"
    allowed = choose(manifest, machine("1xH200"), wishing(emulation=True))
    assert allowed.chosen.label == "vllm-nvfp4-tp1-pp1"


@pytest.mark.parametrize(
    ("tags", "gpus", "fits"),
    [
        ("gpu: H200", "1xH200", True),
        ("gpu: H200", "1xGH200", False),
        ("gpu: B200", "1xGB200", False),
        ("gpu: NVIDIA-H100-80GB-HBM3", "1xH100", True),
        ("gpu: H100", "1xH100-NVL", True),
        ('gpu: H100, gpu_device: "2330:10de"', "1xH100-NVL", False),
        ('gpu: H100, gpu_device: "2330:10de"', "1xH100", True),
        ('gpu_device: "2321:10DE"', "1xH100-NVL", True),
        ("product_name_regex: 'H100.*NVL'", "1xH100-NVL", True),
        ("product_name_regex: '^NVIDIA-H[12]00$'", "1xH200", True),
        ("product_name_regex: '^NVIDIA-H[12]00$'", "1xL40S", False),
    ],
)
def test_named_gpu(tags: str, gpus: str, fits: bool) -> None:
    manifest = made(f"precision: bf16, {tags}")
    if fits:
        assert choose(manifest, machine(gpus)).devices
    else:
        assert "a GPU" in refusal(manifest, machine(gpus)).refused[0].needed


def test_gpu_of_unknown_model_is_not_taken_for_a_named_one() -> None:
    hardware = machine("1xH200")
    nameless = replace(hardware, gpus=(replace(hardware.gpus[0], name=None, pci_id=None),))
    (refused,) = refusal(made("precision: bf16, gpu: H200"), nameless).refused
    assert "unknown name" in refused.found
    assert choose(made("precision: bf16"), nameless).devices == nameless.gpus


def test_wishes_narrow_the_choice() -> None:
    manifest = shipped(LLAMA)
    h100 = machine("4xH100")
    labels = {
        "vllm-bf16-tp4-pp1": wishing(tags=("precision=bf16",)),
        "vllm-bf16-tp2-pp1": wishing(tags=("precision=BF16", "tp=2")),
        "vllm-fp8-tp1-pp1": wishing(tensor_parallel_size=1),
        "vllm-bf16-tp2-pp1-feat_lora": wishing(enable_lora=True),
        "vllm-fp8-tp2-pp1": wishing(profile="default"),
    }
    assert [choose(manifest, h100, wishes).chosen.label for wishes in labels.values()] == list(labels)


def test_wish_that_nothing_meets_is_refused_with_the_way_out() -> None:
    error = refusal(shipped(LLAMA), machine("4xH100"), wishing(tensor_parallel_size=3))
    assert "tp=3, as asked" in error.refused[0].needed
    assert "unset NIM_TENSOR_PARALLEL_SIZE" in str(error)
    named = "NIM_MODEL_PROFILE=vllm-fp8-tp2-pp1 as well runs that profile with tp=3"
    assert error.hint is not None
    assert error.hint.endswith(named)
    wishes = wishing("vllm-fp8-tp2-pp1", tensor_parallel_size=3)
    assert len(choose(shipped(LLAMA), machine("4xH100"), wishes).devices) == 3


def test_table_of_refusals_is_whole_and_nearest_first() -> None:
    manifest = shipped(ULTRA)
    error = refusal(manifest, machine("6xH200"), wishing(tags=("precision=bf16",)))
    assert len(error.refused) == len(manifest.profiles)
    assert error.refused[0].label == "vllm-nvidia-h200-nvfp4-tp4-pp1"
    assert (error.refused[0].needed, error.refused[0].found) == (
        "precision=bf16, as asked",
        "precision=nvfp4",
    )
    near = error.refused[1:3]
    assert [refused.label for refused in near] == [
        "vllm-nvidia-h200-bf16-tp8-pp1",
        "vllm-nvidia-h200-nvfp4-tp8-pp1",
    ]
    assert (near[0].needed, near[0].found, near[0].change) == ("8 GPUs", "6 GPUs", "docker run --gpus 8")
    assert "6 × NVIDIA H200" in error.message
    for refused in error.refused:
        assert refused.label in error.message


def test_no_gpu() -> None:
    error = refusal(shipped(ULTRA), NOTHING)
    assert "no profile fits no GPU" in str(error)
    assert (error.refused[0].needed, error.refused[0].found) == ("2 GPUs", "no GPUs")


def test_cpu_build_uses_no_gpu() -> None:
    selection = choose(shipped("nim/demo"), machine("2xH100"), wishing(engine_build="cpu"))
    assert selection.chosen.label == "vllm-cpu-bf16-tp1-pp1"
    assert selection.devices == ()
    assert "CPU build" in selection.refused[-1].found


def test_gpu_build_does_not_run_on_the_cpu() -> None:
    error = refusal(shipped("nim/demo"), NOTHING, wishing(engine_build="gpu"))
    assert any(refused.needed == "the engine's CPU build" for refused in error.refused)


def test_profile_of_another_engine_is_never_chosen() -> None:
    manifest = made("precision: bf16").profiles[0]
    other = replace(manifest, tags={**manifest.tags, "llm_engine": "sglang"})
    error = refusal(Manifest(profiles=(other,)), machine("1xH100"))
    assert error.refused[0].needed == "the engine sglang"


def test_two_nodes() -> None:
    manifest = shipped(ULTRA)
    bf16 = ("precision=bf16",)
    error = refusal(manifest, machine("8xH100"), wishing(tags=bf16))
    stages = next(refused for refused in error.refused if refused.label == "vllm-nvidia-h100-bf16-tp8-pp2")
    assert (stages.needed, stages.found) == ("16 GPUs", "8 GPUs")
    assert stages.change == "--nnodes 2, on 2 such machines"
    selection = choose(manifest, machine("8xH100"), wishing(tags=bf16, nnodes=2))
    assert selection.chosen.label == "vllm-nvidia-h100-bf16-tp8-pp2"
    assert len(selection.devices) == 8


def test_profile_of_one_node_is_not_spread() -> None:
    error = refusal(made("precision: bf16"), machine("8xH100"), wishing(nnodes=2))
    assert (error.refused[0].needed, error.refused[0].found) == ("one node", "2 nodes")


def test_mixed_gpus_use_the_best_kind_only() -> None:
    selection = choose(shipped(LLAMA), machine("4xL40S,1xH200"))
    assert [gpu.name for gpu in selection.devices] == ["NVIDIA H200"]
    assert selection.chosen.label == "vllm-fp8-tp1-pp1"
    assert any("different kinds" in warning for warning in selection.warnings)


def test_second_best_kind_is_used_where_the_best_does_not_do() -> None:
    selection = choose(made('precision: bf16, tp: "2"'), machine("1xH200,2xL40S"))
    assert [gpu.index for gpu in selection.devices] == [1, 2]


def test_mig_devices_are_not_joined_and_are_no_whole_gpu() -> None:
    mig = sliced(machine("4xH100"), "2g.20gb", 20 * GB)
    short = wishing(max_model_len=4096)
    assert choose(made("precision: fp8"), mig, short).devices == mig.gpus[:1]
    (joined,) = refusal(made('precision: fp8, tp: "2"'), mig).refused
    assert (joined.needed, joined.found) == ("2 whole GPUs", "4 MIG devices, of which a process can use one")
    (named,) = refusal(made("precision: fp8, gpu: H100"), mig).refused
    assert named.found.startswith("a MIG device of NVIDIA H100 80GB HBM3")


def test_unknown_memory_is_reported_and_not_refused() -> None:
    selection = choose(shipped(LLAMA), unmeasured(machine("1xH100")))
    assert selection.chosen.label == "vllm-fp8-tp1-pp1"
    assert selection.warnings == ("the memory of GPU 0 is unknown: whether it suffices was not checked",)


def test_idle_gpus_before_busy_ones() -> None:
    selection = choose(shipped(LLAMA), busy(machine("3xA100"), 0, 20 * GB), wishing(tensor_parallel_size=2))
    assert [gpu.index for gpu in selection.devices] == [1, 2]
    assert selection.utilization is None


def test_explanation_contains_the_whole_decision() -> None:
    text = explain(choose(shipped(ULTRA), machine("8xH200"), wishing(profile="default+mtp")))
    for words in (
        "hardware   8 × NVIDIA H200",
        "asked      NIM_MODEL_PROFILE default+mtp, variant mtp",
        "GPU        3 of 23 pass",
        "chosen     vllm-nvidia-h200-nvfp4-tp8-pp1+mtp",
        "which is unknown",
        "devices    GPU 0, 1, 2, 3, 4, 5, 6, 7",
        "vllm-nvidia-h200-bf16-tp8-pp1+mtp",
        "needs a GPU B200 (2901:10de); found NVIDIA H200 (2335:10de)",
    ):
        assert words in text


def test_refused_profile_that_is_asked_for_names_one_that_fits() -> None:
    error = refusal(shipped(LLAMA), machine("1xA100"), wishing(profile="vllm-bf16-tp4-pp1"))
    assert [refused.label for refused in error.refused] == ["vllm-bf16-tp4-pp1"]
    assert error.hint == "NIM_MODEL_PROFILE=vllm-bf16-tp1-pp1, which fits"
    assert isinstance(error, ProfileError)
