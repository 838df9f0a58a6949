"""The catalog and the capabilities agree with vLLM itself."""

import json
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from nim.data_paths import ROOT
from nim.engine.compute_capability_requirements import SUPPORT, Capability
from nim.engine.find_installed_engine import find_engine
from nim.engine.supported_names_catalog import Way, load_catalog

ENGINE = find_engine()
CATALOG = load_catalog()
pytestmark = [
    pytest.mark.slow,  # its answer changes only with the pinned vLLM
    pytest.mark.skipif(ENGINE is None, reason="vLLM is not installed"),
    pytest.mark.skipif(find_spec("triton") is None, reason="kernels need Triton: pip install triton"),
    pytest.mark.timeout(300),
]
VOLTA = (7, 0)
CAPABILITIES = ((7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 0))


def judge(*arguments: str, question: object = None) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.catalog_judge", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT)},
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@cache
def installed() -> Any:
    return judge("catalog", question=[VOLTA, *CAPABILITIES])


def kernels(capability: Capability) -> Any:
    return installed()["kernels"][f"{capability[0]}.{capability[1]}"]


def test_the_committed_catalog_is_what_the_installed_vllm_makes() -> None:
    made, committed = dict(installed()["catalog"]), dict(CATALOG.rows)
    for catalog in (made, committed):
        del catalog["transformers_architectures"]
    assert made == committed, "make engine-options"


# Its own, converted, Transformers', removed ones, ones of a plugin, ones that nobody has.
ARCHITECTURES = (
    "LlamaForCausalLM",
    "Qwen3ForCausalLM",
    "LlamaForSequenceClassification",
    "Qwen3ForTokenClassification",
    "GemmaForSequenceClassification",
    "MistralForSequenceClassification",
    "SmolLM3ForCausalLM",
    "ElectraForCausalLM",
    "T5ForConditionalGeneration",
    "BartForConditionalGeneration",
    "BambaForCausalLM",
    "BertForQuestionAnswering",
    "CamembertModel",
    "Dots1ForCausalLM",
    "DebertaV2ForSequenceClassification",
    "CodeGenForCausalLM",
    "GPTNeoForCausalLM",
    "XGLMForCausalLM",
    "XLNetLMHeadModel",
    "MptForCausalLM",
    "MPTForCausalLM",
    "BaichuanForCausalLM",
    "GritLM",
    "NoSuchForCausalLM",
    "NoSuchModel",
    "NoSuch",
)


def test_vllm_loads_what_the_catalog_resolves(tmp_path: Path) -> None:
    theirs = judge("models", str(tmp_path), question=ARCHITECTURES)
    ours: dict[str, str | None] = {}
    for name in ARCHITECTURES:
        found = CATALOG.resolve([name])
        if found is None:
            ours[name] = None
        elif found.way is Way.TRANSFORMERS:
            ours[name] = theirs[name] if "Transformers" in (theirs[name] or "") else f"{found.way}"
        else:
            assert found.architecture is not None
            ours[name] = found.architecture.implementation.rpartition(".")[2]
    assert ours == theirs


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_vllm_calculates_in_it_from_where_we_say(capability: Capability) -> None:
    """Below that, its first choice are Marlin's kernels, which leave the weights packed."""
    first = kernels(capability)["first"]
    for precision in ("fp8", "mxfp8", "nvfp4", "mxfp4"):
        weights_only = "Marlin" in first[precision]
        assert weights_only == (capability < SUPPORT[precision].native), (precision, first)
    assert first["int8"].startswith("Cutlass")
    assert first["int4"] is not None


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_vllm_has_the_dtypes_that_we_say(capability: Capability) -> None:
    found = kernels(capability)
    assert ("bfloat16" in found["dtypes"]) == (capability >= SUPPORT["bf16"].native)
    assert found["dtypes"][0] == ("bfloat16" if capability >= (8, 0) else "float16")
    assert found["fp8"] == (capability >= SUPPORT["fp8"].native)


def test_nothing_older_than_we_say_has_kernels() -> None:
    first = kernels(VOLTA)["first"]
    assert not any("Marlin" in (kernel or "") for kernel in first.values())


@pytest.mark.parametrize(
    ("precision", "method"),
    [
        ("fp8", "fp8"),
        ("mxfp8", "modelopt_mxfp8"),
        ("mxfp8", "mxfp8"),
        ("nvfp4", "modelopt_fp4"),
        ("mxfp4", "mxfp4"),
        ("mxfp4", "gpt_oss_mxfp4"),
    ],
)
def test_a_method_demands_what_its_precision_does(precision: str, method: str) -> None:
    """The methods' own figures are in the catalog, which the first test compares with vLLM's."""
    found = CATALOG.quantization(method)
    assert found is not None
    assert found.capability == SUPPORT[precision].minimum
