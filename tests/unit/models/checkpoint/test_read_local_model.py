"""Local models: what is loaded, what is refused, and what to type next."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest

from nim.data_paths import PROFILES, ROOT
from nim.errors import WeightsError
from nim.models.checkpoint.findings import Fault
from nim.models.checkpoint.read_local_model import LocalModel, read_local_model, read_snapshot
from tests.unit.models.checkpoint.directories import (
    CONFIG,
    FOUR_SHARDS,
    INDEX,
    LFS_POINTER,
    Content,
    cached,
    index_of,
    make,
    safetensors,
    sparse,
)

ST: Content = safetensors()
SHARDS: Mapping[str, Content] = dict.fromkeys(FOUR_SHARDS, ST)
MIXED = {"config.json": CONFIG, **SHARDS, INDEX: index_of(*FOUR_SHARDS)}


def read(directory: Path, files: Mapping[str, Content], load_format: str = "auto") -> LocalModel:
    return read_local_model(make(directory, files), "NIM_MODEL_PATH", load_format)


def loaded(model: LocalModel) -> set[str]:
    assert model.findings == ()
    assert model.weights is not None
    return set(model.weights.files)


@pytest.mark.parametrize(
    ("files", "load_format", "expected"),
    [
        ({**MIXED, "consolidated.safetensors": ST}, "auto", {"consolidated.safetensors"}),
        ({**MIXED, "consolidated.safetensors": ST}, "hf", set(FOUR_SHARDS)),
        ({**MIXED, "consolidated.safetensors": ST}, "Mistral", {"consolidated.safetensors"}),
        ({**MIXED, "model.fp16.safetensors": ST, "old/model.safetensors": ST}, "auto", set(FOUR_SHARDS)),
        ({**MIXED, "pytorch_model.bin": b"x"}, "auto", set(FOUR_SHARDS)),
        ({**MIXED, "model.fp16.safetensors": ST}, "runai_streamer", {*FOUR_SHARDS, "model.fp16.safetensors"}),
        (
            {"pytorch_model.bin": b"x", "optimizer.bin": b"x", "training_args.bin": b"x"},
            "auto",
            {"pytorch_model.bin"},
        ),
        ({"pytorch_model.bin": b"x", "my_optimizer.bin": b"x"}, "auto", {"pytorch_model.bin"}),
        ({"model.pt": b"x", "optimizer.pt": b"x", "scheduler.pt": b"x"}, "auto", {"model.pt"}),
        ({"pytorch_model.bin": b"x", "model.pt": b"x"}, "pt", {"model.pt"}),
        ({"model.safetensors": ST, "._model.safetensors": b"x"}, "auto", {"model.safetensors"}),
        ({"model.safetensors": ST, "tf_model.h5": b"x", "m.gguf": b"x"}, "auto", {"model.safetensors"}),
        ({"params.json": "{}", "consolidated.safetensors": ST}, "auto", {"consolidated.safetensors"}),
        (
            {"consolidated-00001-of-00002.safetensors": ST, "consolidated-00002-of-00002.safetensors": ST},
            "auto",
            {"consolidated-00001-of-00002.safetensors", "consolidated-00002-of-00002.safetensors"},
        ),
    ],
)
def test_what_is_loaded(
    tmp_path: Path, files: Mapping[str, Content], load_format: str, expected: set[str]
) -> None:
    config = {} if "params.json" in files else {"config.json": CONFIG}
    assert loaded(read(tmp_path, {**config, **files}, load_format)) == expected


def test_the_demo_model_is_faultless() -> None:
    assert loaded(read_local_model(PROFILES / "demo" / "model", "here")) == {"model.safetensors"}


@pytest.mark.parametrize(
    ("load_format", "config"),
    [
        ("dummy", CONFIG),
        ("sharded_state", CONFIG),
        ("a-plugin's", CONFIG),
        ("auto", {"architectures": ["UltravoxModel"]}),
        ("auto", {"architectures": ["Cosmos3ForConditionalGeneration"]}),
    ],
)
def test_what_is_loaded_otherwise_is_unknown_and_not_judged(
    tmp_path: Path, load_format: str, config: Mapping[str, Content]
) -> None:
    model = read(tmp_path, {"config.json": config}, load_format)
    assert (model.weights, model.findings) == (None, ())


def test_an_architecture_may_have_more_files(tmp_path: Path) -> None:
    config = {"architectures": ["MoonshotKimiaForCausalLM"]}
    files: dict[str, Content] = {
        "config.json": config,
        "model.safetensors": ST,
        "whisper-large-v3/model.safetensors": ST,
    }
    assert loaded(read(tmp_path, files)) == {"model.safetensors", "whisper-large-v3/model.safetensors"}


def finding(model: LocalModel) -> tuple[Fault, str, str]:
    (only,) = model.findings
    return only.fault, only.message, only.hint


@pytest.mark.parametrize(
    ("files", "fault", "message", "hint"),
    [
        (
            {INDEX: index_of(*FOUR_SHARDS), **dict.fromkeys(FOUR_SHARDS[:3], ST)},
            "MISSING",
            f"{FOUR_SHARDS[3]} is not",
            "hf d",
        ),
        (
            {INDEX: index_of(*FOUR_SHARDS)},
            "MISSING",
            " and 1 more are not there",
            "hf download ORG/NAME --local-dir",
        ),
        (
            dict.fromkeys(FOUR_SHARDS[1:], ST),
            "MISSING",
            f"of the numbered files, {FOUR_SHARDS[0]} is not",
            "hf download",
        ),
        (
            {"pytorch_model-00002-of-00002.bin": b"x"},
            "MISSING",
            "pytorch_model-00001-of-00002.bin is not",
            "hf download",
        ),
        (
            {"pytorch_model.bin.index.json": index_of("a.bin", "b.bin"), "a.bin": b"x"},
            "MISSING",
            "pytorch_model.bin.index.json names, b.bin is not there",
            "hf download",
        ),
        (
            {INDEX: index_of(*FOUR_SHARDS), "merged.safetensors": ST},
            "MISSING",
            "are not there",
            f"rm {INDEX}, if merged.safetensors is the whole model",
        ),
        (
            {INDEX: index_of("a.safetensors"), "a.safetensors.part": ST},
            "MISSING",
            "'a.safetensors.part' is a d",
            "hf",
        ),
        (
            {"x.safetensors.incomplete": b"", ".cache/huggingface/download/x.incomplete": b""},
            "MISSING",
            "the download was not finished",
            "hf download",
        ),
        ({"model.safetensors": LFS_POINTER}, "DAMAGED", "is a Git LFS pointer", " lfs pull"),
        ({"pytorch_model.bin": LFS_POINTER}, "DAMAGED", "is a Git LFS pointer", " lfs pull"),
        (
            {INDEX: LFS_POINTER, "a.safetensors": ST},
            "DAMAGED",
            f"{INDEX}': it is a Git LFS pointer",
            " lfs pull",
        ),
        ({INDEX: "{}", "a.safetensors": ST}, "DAMAGED", "it has no weight_map", "rm "),
        ({"model.safetensors": b""}, "DAMAGED", "it is empty", "rm '"),
        ({"pytorch_model.bin": b""}, "DAMAGED", "it is empty", "rm '"),
        ({"model.safetensors": safetensors(cut=5)}, "DAMAGED", "it is cut short", "rm '"),
        ({"model.safetensors": safetensors(cut=-1)}, "DAMAGED", "it is 1 bytes longer", "rm '"),
        ({"model.safetensors": b"<!DOCTYPE html><title>Sign in"}, "DAMAGED", "a web page", "rm '"),
        ({"model.safetensors": b"<?xml version='1.0'?><Error>AccessDenied"}, "DAMAGED", "a web page", "rm '"),
        ({"model.safetensors": ST, "model.safetensors.aria2": b"x"}, "DAMAGED", "not finished", "aria2c -c"),
        ({"m-Q4_K_M.gguf": b"GGUF"}, "MISSING", "GGUF files, which vLLM 0.32 does not load", "hf://"),
        (
            {"rank0.engine": b"x"},
            "MISSING",
            "a TensorRT engine",
            "the checkpoint that the engine was built from",
        ),
        ({"onnx/model.onnx": b"x"}, "MISSING", "ONNX files (onnx/model.onnx)", "safetensors"),
        ({"tf_model.h5": b"x"}, "MISSING", "TensorFlow weights", "safetensors"),
        ({"flax_model.msgpack": b"x"}, "MISSING", "Flax weights", "safetensors"),
        ({"consolidated.00.pth": b"x"}, "MISSING", "Meta's original checkpoint", "hf://meta-llama/"),
        (
            {"global_step500/zero_pp_rank_0.pt": b"x", "zero_to_fp32.py": ""},
            "MISSING",
            "DeepSpeed",
            "zero_to_fp32.py",
        ),
        ({"pytorch_model_fsdp_0/__0_0.distcp": b"x"}, "MISSING", "FSDP", "accelerate merge-weights"),
        ({"model.tar.gz": b"x"}, "MISSING", "an archive", "unpack it"),
        ({"optimizer.bin": b"x"}, "MISSING", "'optimizer.bin' is the state of a training run", "hf download"),
        ({"sub/model.safetensors": ST}, "MISSING", "they lie in 'sub'", "ls '"),
        (
            {"original/consolidated.safetensors": ST, **SHARDS, INDEX: index_of(*FOUR_SHARDS)},
            "MISSING",
            "Mistral's own files below it",
            "--load-format hf",
        ),
        ({}, "MISSING", "it has no weights that vLLM loads", "hf download ORG/NAME --local-dir"),
        (
            {"adapter_config.json": {}, "adapter_model.safetensors": ST},
            "DAMAGED",
            "a LoRA adapter",
            "--lora-modules",
        ),
        ({"model.safetensors": ST, "adapter_model.safetensors": ST}, "DAMAGED", "load adapter_model", "mv '"),
    ],
)
def test_what_cannot_be_loaded(
    tmp_path: Path, files: Mapping[str, Content], fault: str, message: str, hint: str
) -> None:
    model = read(tmp_path, {"config.json": CONFIG, **files})
    assert model.weights is None
    what, said, next_step = finding(model)
    assert what is Fault[fault]
    assert message in said
    assert said.startswith("cannot ")
    assert hint in next_step


@pytest.mark.parametrize(
    "config",
    [
        {"pretrained_config": {"architecture": "LlamaForCausalLM"}, "build_config": {}},
        {"architecture": "LlamaForCausalLM", "mapping": {"tp_size": 1}, "dtype": "bfloat16"},
    ],
)
def test_what_tensorrt_llm_wrote_is_for_itself(tmp_path: Path, config: Mapping[str, Content]) -> None:
    model = read(tmp_path, {"config.json": config, "rank0.safetensors": ST})
    assert "only TensorRT-LLM runs" in finding(model)[1]


@pytest.mark.parametrize("own", [{}, {"quantization_config": {"group_size": 64, "bits": 4}}])
def test_what_mlx_quantized_is_for_apple_silicon(tmp_path: Path, own: Mapping[str, Content]) -> None:
    config = {**CONFIG, "quantization": {"group_size": 64, "bits": 4}, **own}
    model = read(tmp_path, {"config.json": config, "model.safetensors": ST})
    assert "quantized by MLX" in finding(model)[1]
    known = {**config, "quantization_config": {"quant_method": "gptq"}}
    assert read(tmp_path, {"config.json": known}).findings == ()


def test_a_torch_file_without_its_end_is_cut_short(tmp_path: Path) -> None:
    path = make(tmp_path, {"config.json": CONFIG}) / "pytorch_model.bin"
    with ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", "x" * 1000)
    assert loaded(read_local_model(tmp_path, "here")) == {"pytorch_model.bin"}
    path.write_bytes(path.read_bytes()[:-30])
    assert "it is cut short: its end is missing" in finding(read_local_model(tmp_path, "here"))[1]


def test_a_load_format_that_finds_nothing_is_named(tmp_path: Path) -> None:
    fault, message, hint = finding(read(tmp_path, MIXED, "pt"))
    assert fault is Fault.MISSING
    assert message.endswith("no weights that vLLM loads with --load-format pt")
    assert hint == "--load-format auto"


def test_placeholders_are_counted_and_reported_once(tmp_path: Path) -> None:
    make(tmp_path, {"config.json": CONFIG, INDEX: index_of(*FOUR_SHARDS)})
    for name in FOUR_SHARDS:
        sparse(tmp_path / name, 4_000_000_000)
    model = read_local_model(tmp_path, "here")
    assert model.weights is not None
    assert model.weights.loaded_bytes() == 16_000_000_000
    fault, message, _ = finding(model)
    assert fault is Fault.PLACEHOLDER
    assert message.endswith("only its size is known (and 3 more files)")


def test_links_to_what_is_not_there(tmp_path: Path) -> None:
    """As where only the snapshot of a hub's cache is mounted, without the blobs beside it."""
    model = make(tmp_path / "model", {"config.json": CONFIG, INDEX: index_of(*FOUR_SHARDS)})
    for name in FOUR_SHARDS:
        (model / name).symlink_to(f"../../blobs/{name}")
    fault, message, hint = finding(read_local_model(model, "here"))
    assert fault is Fault.MISSING
    assert "are links to what is not there" in message
    assert "cp -rL" in hint
    (model / "config.json").unlink()
    (model / "config.json").symlink_to("../../blobs/config")
    with pytest.raises(WeightsError, match=r"no config\.json: it is a link to what is not there"):
        read_local_model(model, "here")


def test_brackets_in_the_path_are_a_pattern_to_the_engine(tmp_path: Path) -> None:
    fault, message, _ = finding(read(tmp_path / "model[awq]", MIXED))
    assert fault is Fault.DAMAGED
    assert "brackets" in message
    assert loaded(read(tmp_path / "model (awq)*", MIXED)) == set(FOUR_SHARDS)


def test_where_the_files_came_from_is_in_the_hint(tmp_path: Path) -> None:
    whole = {"config.json": {"_name_or_path": "org/name"}}
    assert finding(read(tmp_path / "a", whole))[2] == f"hf download org/name --local-dir '{tmp_path}/a'"
    store = {**whole, ".model-store.json": {"source": "hf://org/stored"}}
    assert (
        finding(read(tmp_path / "b", store))[2] == f"nim store --model-repo hf://org/stored -m '{tmp_path}/b'"
    )
    assert finding(read(tmp_path / "c", {**whole, ".git/config": ""}))[2].endswith("lfs pull")
    snapshot = cached(tmp_path / "hub", whole)
    fetch = f"HF_HUB_CACHE='{tmp_path}/hub' nim fetch --model-uri hf://org/name"
    assert finding(read_local_model(snapshot, "here"))[2] == fetch
    other = cached(tmp_path / "hub", whole, commit="beef")
    make(tmp_path / "hub" / "models--org--name", {"refs/main": "c0ffee"})
    assert finding(read_local_model(other, "here"))[2] == f"{fetch}:beef"


def test_a_snapshot_without_a_configuration_is_incomplete(tmp_path: Path) -> None:
    model = read_snapshot(cached(tmp_path, {"model.safetensors": ST}))
    assert model.config == {}
    assert "of the model, config.json is not there" in finding(model)[1]
    assert [found.fault for found in read_snapshot(cached(tmp_path / "b", {"x.txt": "x"})).findings] == [
        Fault.MISSING,
        Fault.MISSING,
    ]


def test_a_damaged_file_of_the_cache_is_removed_with_its_content(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, {"config.json": CONFIG, "model.safetensors": safetensors(cut=1)})
    assert finding(read_snapshot(snapshot))[2].startswith(
        f"rm '{tmp_path}/models--org--name/blobs/blob1' && "
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "."])
def test_what_this_user_cannot_read_is_named(directory: Path, name: str) -> None:
    # Not below `tmp_path`: each start of pytest closes the parent of all its directories to others.
    model = make(directory / "model", {"config.json": CONFIG, "model.safetensors": ST})
    for path in (directory, model):
        path.chmod(0o755)
    (model / name).chmod(0)
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from nim.models.checkpoint.read_local_model import read_local_model\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "from nim.errors import WeightsError\n"
        "try: print(read_local_model(Path(sys.argv[2]), 'here').findings[0].line)\n"
        "except WeightsError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, ROOT, model], capture_output=True, text=True, check=True
    )
    assert "as user 65534:65534: Permission denied" in done.stdout, done.stderr
    assert "chmod -R a+rX" in done.stdout
