"""`nim model`: the output as data and as text; unreadable models are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_plan import nim
from tests.unit.models.checkpoint.directories import sparse
from tests.unit.models.models import GEMMA3, LLAMA

KEYS = {
    "architecture",
    "heads",
    "kv_heads",
    "head_size",
    "layers",
    "context",
    "quantization",
    "precision",
    "parameter_bytes",
    "cache_bytes",
    "tensor_parallel_sizes",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    return tmp_path


def data(*words: str) -> Any:
    done = nim("model", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_one_object_has_the_reading(directory: Path) -> None:
    found = data(str(directory))
    assert found.keys() >= KEYS
    assert (found["heads"], found["kv_heads"], found["head_size"]) == (32, 8, 128)
    assert found["layers"] == {"full": 32}
    assert found["context"] == 131072
    assert found["quantization"] is None
    assert found["precision"] == "bf16"
    assert found["cache_bytes"] == 17_179_869_184


def test_weights_are_counted_without_their_files(directory: Path) -> None:
    layer = 2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 11008
    embeddings = 2 * 32000 * 4096
    found = data(str(directory))
    assert found["parameter_bytes"] == pytest.approx(2 * (32 * layer + embeddings), rel=0.001)
    assert found["tensor_parallel_sizes"] == [1, 2, 4, 8, 16]


def write_index(directory: Path, total: float, **config: object) -> None:
    index = {"metadata": {"total_size": int(total)}, "weight_map": {}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    if config:
        (directory / "config.json").write_text(json.dumps(config))


def test_weight_files_are_believed_where_they_differ(directory: Path) -> None:
    write_index(directory, 4e9)
    assert data(str(directory))["parameter_bytes"] == pytest.approx(4e9, rel=0.01)


def test_files_in_32_bits_are_halved(directory: Path) -> None:
    write_index(directory, 8e9, **LLAMA | {"torch_dtype": "float32"})
    assert data(str(directory))["parameter_bytes"] == pytest.approx(4e9, rel=0.01)


def test_files_of_an_unknown_model_are_shared_out_evenly(directory: Path) -> None:
    write_index(directory, 4e9, architectures=["NewForCausalLM"], model_type="new-family")
    assert data(str(directory), "-tp", "2")["parameter_bytes"] == 2e9


def test_size_that_the_engine_refuses_has_no_sizes_but_a_reason(directory: Path) -> None:
    found = data(str(directory), "-tp", "3")
    assert (found["parameter_bytes"], found["cache_bytes"]) == (None, None)
    assert found["refusal"] == "32 attention heads cannot be split over 3 GPUs: 1, 2, 4, 8 or 16 can"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["FutureForCausalLM"]}, "has no FutureForCausalLM"),
        ({"quantization_config": {"quant_method": "aqlm"}}, 'no quantization method "aqlm"'),
        ({"quantization_config": {"quant_method": "awq", "bits": 8}}, 'does not say "group_size"'),
    ],
)
def test_model_that_the_engine_refuses_has_a_reason(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, **changes}))
    found = data(str(tmp_path))
    assert words in found["refusal"]
    assert found["heads"] == 32


@pytest.mark.parametrize(
    ("gpus", "fits", "longest"),
    [("H100", True, 131072), ("1xL4", False, None), ("2xL4", True, None)],
)
def test_machine_holds_a_context_or_does_not(
    directory: Path, gpus: str, fits: bool, longest: int | None
) -> None:
    words = ["--gpus", gpus, "-tp", gpus[0] if gpus[0].isdigit() else "1", "--max-model-len", "65536"]
    fit = data(str(directory), *words)["fit"]
    assert fit["fits"] is fits
    assert longest is None or fit["longest"] == longest


def test_more_ranks_than_gpus_do_not_fit(directory: Path) -> None:
    assert data(str(directory), "--gpus", "H100", "-tp", "2")["fit"]["fits"] is False


def test_size_is_the_one_that_a_plan_chooses(directory: Path) -> None:
    for gpus, size in (("1xL4", 1), ("3xL4", 2), ("4xL4", 4), ("2xH100", 2)):
        found = data(str(directory), "--gpus", gpus)
        assert found["tensor_parallel_size"] == size
        assert list(found["fit"]["by_tensor_parallel_size"]) == [
            str(n) for n in (1, 2, 4) if n <= int(gpus[0])
        ]


def test_size_that_fits_is_named_beside_one_that_does_not(directory: Path) -> None:
    done = nim("model", str(directory), "--gpus", "4xL4", "-tp", "1")
    assert "no with --tensor-parallel-size 1" in done.stdout
    assert "; fits with --tensor-parallel-size 2\n" in done.stdout
    chosen = nim("model", str(directory), "--gpus", "4xL4")
    assert "yes with --tensor-parallel-size 4 on 4 × NVIDIA L4" in chosen.stdout


@pytest.mark.parametrize("gpus", ["1xL4", "1xA10"])
def test_longest_context_is_that_of_a_plan(directory: Path, gpus: str) -> None:
    (directory / "tokenizer.json").write_text("{}")
    sparse(directory / "model.safetensors", 12_000_000_000)
    planned = nim("plan", "--gpus", gpus, NIM_MODEL_PATH=str(directory))
    longest = data(str(directory), "--gpus", gpus)["fit"]["longest"]
    assert f"hint: NIM_MAX_MODEL_LEN={longest}\n" in planned.stderr


def test_cache_is_of_one_rank_and_the_context_asked_for(directory: Path) -> None:
    found = data(str(directory), "--tensor-parallel-size", "2", "--max-model-len", "64K")
    assert found["context"] == 65536
    assert found["cache_bytes"] == 17_179_869_184 // 4


def test_context_above_what_the_engine_derives_is_named(directory: Path) -> None:
    done = nim("model", str(directory), "--max-model-len", "200000", "--json")
    assert done.returncode == 0
    assert "200000" in done.stderr
    assert "131072 (max_position_embeddings)" in done.stderr
    assert json.loads(done.stdout)["derived_context"]["limit"] == 131072


def test_batch_of_the_gpu_counts_where_windows_keep_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(GEMMA3))
    sizes = [data(str(tmp_path), "--gpus", gpu)["cache_bytes"] for gpu in ("L4", "H100", "B200")]
    assert sizes == sorted(set(sizes))


def test_unknown_is_null(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "of tomorrow"}))
    found = data(str(tmp_path))
    assert {found[name] for name in ("heads", "layers", "precision", "parameter_bytes", "cache_bytes")} == {
        None
    }


def test_person_reads_a_fact_a_line(directory: Path) -> None:
    done = nim("model", str(directory), "--gpus", "H100")
    assert done.returncode == 0, done.stderr
    assert "Architecture   LlamaForCausalLM (llama)\n" in done.stdout
    assert "Attention      32 heads, 8 KV heads of 128\n" in done.stdout
    assert "Context        131072 tokens: max_position_embeddings\n" in done.stdout
    assert "17.2 GB" in done.stdout


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "it has no config.json"),
        ({"config.json": "{"}, "Expecting property name"),
        ({"config.json": "[1]"}, "config.json is not a JSON object"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, files: dict[str, str], words: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = nim("model", str(tmp_path))
    assert done.returncode == 6
    assert done.stderr.startswith("nim: cannot ")
    assert str(tmp_path) in done.stderr
    assert words in done.stderr


@pytest.mark.parametrize(
    "option",
    ["--tensor-parallel-size=0", "--max-model-len=many", "--max-model-len=-1", "--kv-cache-dtype=fp9"],
)
def test_values_that_the_engine_does_not_take_are_refused(directory: Path, option: str) -> None:
    done = nim("model", str(directory), option)
    assert done.returncode == 2
    assert option.partition("=")[0] in done.stderr


def test_other_sources_are_refused() -> None:
    done = nim("model", "ftp://host/model")
    assert done.returncode == 2
    assert "hf://org/name" in done.stderr


@pytest.mark.parametrize(
    "oddity",
    [
        {"architectures": 1.5},
        {"architectures": True},
        {"architectures": [["LlamaForCausalLM"]]},
        {"model_type": "\ud800"},
        {"architectures": ["\u001b[31mX\nnim: all good"]},
        {"rope_scaling": {"type": "linear", "factor": float("nan")}},
        {"rope_scaling": {"type": "linear", "factor": float("inf")}},
        {"rope_scaling": {"type": "linear", "factor": -4}},
        {"num_hidden_layers": 10**7},
        {"num_hidden_layers": -3},
    ],
    ids=str,
)
def test_nonsense_in_a_configuration_is_no_traceback(tmp_path: Path, oddity: dict[str, object]) -> None:
    llama = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "vocab_size": 128256,
    }
    (tmp_path / "config.json").write_text(json.dumps(llama | oddity))
    done = nim("model", str(tmp_path), "--gpus", "1xH100")
    assert done.returncode in (0, 6)
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout
    assert "-" not in done.stdout.partition("Context ")[2][:12].strip()
