"""Inputs from public bug reports, if their folder is beside the checkout; skipped otherwise.

Each was judged wrongly once. What is expected is written here, after `run.sh` of the case.
"""

import os
import subprocess
from dataclasses import dataclass

import pytest

from nim.data_paths import ROOT

CASES = ROOT.parent / "shared" / "cases"
NIM = ROOT / ".venv" / "bin" / "nim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Words that stdout and stderr contain together, and words that they do not."""

    words: tuple[str, ...]
    absent: tuple[str, ...] = ("Traceback",)


def chosen(label: str, *words: str) -> Expected:
    return Expected(words=(f"({label}):", *words))


def says(*words: str) -> Expected:
    return Expected(words=words)


EXPECTED = {
    "01": chosen("vllm-bf16-tp1-pp1"),
    "03": chosen("vllm-bf16-tp1-pp1", "NIM_MODEL_PROFILE asks for it"),
    "04": chosen("vllm-bf16-tp1-pp1"),
    "05": chosen("vllm-bf16-tp1-pp1"),
    "07": chosen("vllm-bf16-tp2-pp1"),
    "08": chosen("vllm-bf16-tp2-pp1"),
    "10": says("-tp1-pp1): "),
    "12": chosen("vllm-bf16-tp4-pp1"),
    "13": says(
        "64 attention heads cannot be split over 6 GPUs",
        "NIM_TENSOR_PARALLEL_SIZE=4",
        "PIPELINE_PARALLEL_SIZE=3",
    ),
    "14": says("40 attention heads cannot be split over 3 GPUs"),
    "15": chosen("vllm-fp8-tp4-pp1"),
    "18": chosen("vllm-bf16-tp1-pp1", "GPU-00000007-"),
    "19": chosen("vllm-bf16-tp1-pp1", "GPU-00000007-"),
    "21": chosen("vllm-fp8-tp1-pp1", "GPU-00000007-"),
    "22": chosen("vllm-bf16-tp1-pp1"),
    "24": chosen("vllm-bf16-tp1-pp1"),
    "25": chosen("vllm-bf16-tp1-pp1"),
    "26": chosen("vllm-fp8-tp2-pp1", "Marlin"),
    "28": chosen("vllm-bf16-tp1-pp1", "float16"),
    "31": chosen("vllm-bf16-tp2-pp1"),
    "32": chosen("vllm-bf16-tp1-pp1"),
    "34": says("MPTForCausalLM", "0.28.0"),
    "35": chosen("vllm-bf16-tp8-pp1"),
    "37": chosen("vllm-bf16-tp1-pp1"),
    "38": says("131072", "NIM_MAX_MODEL_LEN="),
    "40": says("200000", "131072"),
    "41": chosen("vllm-nvfp4-tp4-pp1"),
    "43": chosen("vllm-int8-tp1-pp1"),
    "44": says("model-00003-of-00004.safetensors", "not complete"),
    "45": says("Git LFS pointer", "lfs pull"),
    "47": says("bitsandbytes"),
    "50": says("LoRA adapter", "--enable-lora --lora-modules"),
    "51": says("llama3_json", "NIM_TOOL_CALL_PARSER"),
    "52": says("NIM_MAX_LORA_RANK=64"),
    "53": says("NIM_TOOL_CALL_PARSER="),
    "55": says("CUDA's own context"),
    "56": says("--max-lora-rank 64"),
    "57": chosen("vllm-bf16-tp2-pp1", "of different kinds"),
    "59": chosen("vllm-bf16-tp1-pp1", "CUDA_VISIBLE_DEVICES=GPU-00000001-"),
    "61": says("quotes", "Selected profile"),
    "63": says('"vllm serve" is left out', "Selected profile"),
    "64": says("""--limit-mm-per-prompt '{"image":4}'"""),
    "65": says(
        "NIM_LOW_MEMORY_MODE is a variable of NIM 1.x", "NIM_FORCE_DETERMINISTIC is a variable of NIM 1.x"
    ),
    "66": says("Selected profile"),
    "80": says("8192", "NIM_PASSTHROUGH_ARGS"),
    "85": says("text/html"),
    "86": says("SSL_CERT_FILE="),
    "87": says("HTTPS_PROXY"),
    "88": says("https://hf-mirror.com"),
    "89": says("SSL_CERT_FILE", "/nonexistent.pem"),
    "91": Expected(words=("profiles:",), absent=("Traceback", "nim: cannot")),
    "92": Expected(words=("gpu: H200", "gpu: B200"), absent=("Traceback", "nim: cannot")),
    "93": Expected(words=("profiles:",), absent=("Traceback", "nim: cannot")),
    "94": Expected(words=("nvidia.com/mig-",), absent=("Traceback", "nvidia.com/gpu:")),
    "95": says("/v1/health/ready", "/v1/metrics"),
}
# Other words than the case's last lines say whether it is right.
ELSEWHERE = {"90": "tests/unit/settings/test_read_secrets.py: a key ending in a newline is stripped"}


def test_every_case_has_an_expectation() -> None:
    if not CASES.is_dir():
        pytest.skip("the cases are not beside this checkout")
    assert {path.name for path in CASES.iterdir() if path.is_dir()} == {*EXPECTED, *ELSEWHERE}


@pytest.mark.parametrize("case", EXPECTED)
def test_the_case_is_judged_right(case: str) -> None:
    script = CASES / case / "run.sh"
    if not script.is_file():
        pytest.skip("the cases are not beside this checkout")
    variables = {
        "NIM": str(NIM),
        "FRESH": str(ROOT),
        "PYTHON": str(NIM.with_name("python")),
        "CHART": str(ROOT / "deploy" / "helm" / "nim-llm"),
    }
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("NIM_", "VLLM_"))}
    done = subprocess.run(
        ["sh", str(script)],
        env=environ | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    said = done.stdout + done.stderr
    expected = EXPECTED[case]
    assert [word for word in expected.words if word not in said] == [], said[:3000]
    assert [word for word in expected.absent if word in said] == [], said[:3000]
