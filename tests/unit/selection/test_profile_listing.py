"""The list of profiles, for people and as data."""

import json

from nim.hardware.types import GB
from nim.selection.profile_listing import list_profiles, listing_data, listing_text
from tests.unit.selection.machines import NOTHING, busy, machine, shipped, wishing

LLAMA = shipped("meta/llama-3.1-8b-instruct")


def test_sections_as_people_know_them() -> None:
    hardware = busy(machine("2xA10G"), 1, 3 * GB)
    text = listing_text(list_profiles(LLAMA, hardware, wishing()))
    unpacked = "on NVIDIA A10G the weights stay in FP8, and Marlin kernels calculate in 16 bits"
    identity = {profile.label: profile.id for profile in LLAMA.profiles}
    two, one = identity["vllm-fp8-tp2-pp1"], identity["vllm-fp8-tp1-pp1"]
    assert text.splitlines()[:10] == [
        "SYSTEM INFO",
        "- Free GPUs:",
        "  - [2237:10de] (0) NVIDIA A10G",
        "- Non-free GPUs:",
        "  - [2237:10de] (1) NVIDIA A10G [current utilization: 12%]",
        "MODEL PROFILES",
        "- Compatible with system and runnable:",
        f"  - {identity['vllm-bf16-tp2-pp1']} (vllm-bf16-tp2-pp1-18.7) [requires >=18.7 GB/gpu, 2 GPUs]",
        f"  - {two} (vllm-fp8-tp2-pp1-10.9) [requires >=10.9 GB/gpu, 2 GPUs; {unpacked}]",
        f"  - {one} (vllm-fp8-tp1-pp1-19.7) [requires >=19.7 GB/gpu; {unpacked}]",
    ]
    lora, low = identity["vllm-bf16-tp2-pp1-feat_lora"], identity["vllm-bf16-tp1-pp1"]
    shorter = "try --max-model-len=31360 to reduce to >=22.3 GB/gpu"
    assert f"    - {lora} (vllm-bf16-tp2-pp1-feat_lora-18.7) [requires >=18.7 GB/gpu, 2 GPUs]\n" in text
    assert "- Compatible with system but low memory:\n" in text
    assert f"  - {low} (vllm-bf16-tp1-pp1-35.3) [requires >=35.3 GB/gpu, {shorter}]\n" in text
    assert "- Incompatible with system:" in text
    assert "[needs 4 GPUs; found 2 GPUs]" in text
    assert "- +eagle3: " in text


def test_nothing_in_a_section() -> None:
    text = listing_text(list_profiles(shipped("openai/gpt-oss-20b"), NOTHING, wishing()))
    assert "- Free GPUs: <None>\n- Non-free GPUs: <None>\n" in text
    assert "- Compatible with system and runnable: <None>\n" in text


def test_data_says_the_same() -> None:
    listing = list_profiles(LLAMA, machine("1xA10G"), wishing())
    data = json.loads(json.dumps(listing_data(listing)))
    sections = ("compatible", "low_memory", "incompatible")
    assert sum(len(data[name]) for name in sections) == len(LLAMA.profiles)
    low = data["low_memory"][0]
    assert low["label"] == "vllm-bf16-tp1-pp1"
    assert low["max_model_len"] == 31360
    assert low["change"] == "NIM_MAX_MODEL_LEN=31360"
    assert low["memory_gb"] == 35.3
    assert low["download_gb"] == 16.1
    assert data["free_gpus"][0]["pci_id"] == "2237:10de"
    assert data["variants"].keys() == {"eagle3"}


def test_cpu_profile_is_listed_with_the_hosts_memory() -> None:
    text = listing_text(list_profiles(LLAMA, NOTHING, wishing()))
    assert "(vllm-cpu-bf16-tp1-pp1-34.3) [requires >=34.3 GB of host memory]" in text
    assert "[needs 1 GPU; found no GPUs]" in text


def test_replicas_and_kinds_of_gpus_are_explained() -> None:
    listing = list_profiles(LLAMA, machine("1xH100,1xA100"), wishing(data_parallel_size=2))
    (two, *_) = [profile for profile in listing.compatible if profile.label == "vllm-bf16-tp1-pp1"]
    assert two.gpu_count == 2
    assert two.note == "on 1 × NVIDIA H100 80GB HBM3 with 1 × NVIDIA A100-SXM4-80GB"
    assert f"2 GPUs; {two.note}]" in listing_text(listing)
