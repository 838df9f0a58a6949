"""Every command judges a model's files before the start, in a directory and in the hub's cache."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nim.cli.main import main
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

ST: Content = safetensors({"BF16": 1000})
TOKENIZER: Mapping[str, Content] = {"tokenizer.json": "{}"}
LLAMA = CONFIG | {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
WHOLE: Mapping[str, Content] = {"config.json": LLAMA, "model.safetensors": ST, **TOKENIZER}
VERBS = ("plan --gpus 1xH100", "serve --dry-run", "fetch", "store -m {store}")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a verb with these settings: exit code, stdout and stderr."""
    for name in os.environ:
        if name.startswith(("NIM_", "VLLM_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("nim.cli.verbs.fetch.end_at_signals", lambda _: None)
    monkeypatch.setattr("nim.cli.verbs.store.end_at_signals", lambda _: None)
    monkeypatch.setenv("NIM_CACHE_PATH", str(tmp_path / "cache"))

    def call(verb: str, **settings: str) -> tuple[int, str, str]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        code = main([*verb.format(store=tmp_path / "store").split()])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("files", "message", "hint"),
    [
        (
            {"config.json": LLAMA, INDEX: index_of(*FOUR_SHARDS), **dict.fromkeys(FOUR_SHARDS[1:], ST)},
            f"of the files that {INDEX} names, {FOUR_SHARDS[0]} is not there",
            "hf download",
        ),
        ({"config.json": LLAMA, "model.safetensors": LFS_POINTER}, "a Git LFS pointer", "lfs pull"),
        ({"config.json": LLAMA}, "it has no weights that vLLM loads", "hf download"),
        ({"config.json": LLAMA, "model.safetensors": safetensors(cut=1)}, "it is cut short", "rm '"),
        ({"config.json": LLAMA, "model.safetensors": b""}, "it is empty", "rm '"),
        (
            {"adapter_config.json": {"base_model_name_or_path": "org/base"}},
            "it is a LoRA adapter",
            "--enable-lora",
        ),
        ({"refs/main": "abc", "snapshots/abc/config.json": LLAMA}, "it is the hub's cache", "/snapshots/abc"),
        (
            {"rank0.engine": b"x", "config.json": {"build_config": 1, "pretrained_config": 1}},
            "TensorRT",
            "hf://",
        ),
        ({"model.Q8_0.gguf": b"GGUF"}, "GGUF files, which vLLM 0.32 does not load", "hf://"),
        ({"model.Q8_0.gguf": b"GGUF", "config.json": LLAMA}, "GGUF files, which vLLM 0.32", "hf://"),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_every_verb(
    run: Run, tmp_path: Path, verb: str, files: Mapping[str, Content], message: str, hint: str
) -> None:
    directory = make(tmp_path / "models--org--name", files)
    code, _, said = run(verb, NIM_MODEL_PATH=str(directory))
    assert code == 6, said
    assert said.startswith("nim: cannot ")
    assert message in said
    assert hint in said.partition("  hint: ")[2]
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_what_can_be_loaded_is_not_refused(run: Run, tmp_path: Path, verb: str) -> None:
    settings = {
        "NIM_MODEL_PATH": str(make(tmp_path / "model", WHOLE)),
        "NIM_PASSTHROUGH_ARGS": "--enforce-eager",
    }
    code, _, said = run(verb, **settings)
    assert code == 0, said


def plan(run: Run, verb: str = "plan --json --gpus 1xL4", **settings: str) -> dict[str, Any]:
    code, out, said = run(verb, **settings)
    assert code == 0, said
    plan: dict[str, Any] = json.loads(out)
    return plan


def weights_gb(plan: Mapping[str, Any]) -> float | None:
    profile, *_ = json.loads(plan["files"]["manifest.json"])["profiles"]
    size: float | None = profile["resources"].get("weights_gb")
    return size


@pytest.mark.parametrize(
    ("config", "settings", "expected"),
    [
        ({"torch_dtype": "float32"}, {}, 8.0),
        ({"torch_dtype": "bfloat16"}, {}, 16.0),
    ],
)
def test_weights_are_counted_as_they_are_served(
    run: Run, tmp_path: Path, config: Mapping[str, Content], settings: Mapping[str, str], expected: float
) -> None:
    directory = make(tmp_path / "model", {"config.json": {**LLAMA, **config}, **TOKENIZER})
    sparse(directory / "model.safetensors", 16_000_000_000)
    sparse(directory / "optimizer.bin", 64_000_000_000)
    found = plan(run, NIM_MODEL_PATH=str(directory), **settings)
    assert weights_gb(found) == expected


def test_a_load_format_decides_what_is_counted(run: Run, tmp_path: Path) -> None:
    directory = make(tmp_path / "model", {"config.json": LLAMA, **TOKENIZER})
    sparse(directory / "model.safetensors", 4_000_000_000)
    sparse(directory / "consolidated.safetensors", 3_000_000_000)
    assert weights_gb(plan(run, NIM_MODEL_PATH=str(directory))) == 3.0
    said = {"NIM_PASSTHROUGH_ARGS": "--load-format safetensors"}
    assert weights_gb(plan(run, NIM_MODEL_PATH=str(directory), **said)) == 7.0
    assert weights_gb(plan(run, NIM_PASSTHROUGH_ARGS="--load-format dummy")) is None


def test_placeholders_are_enough_for_another_machine(run: Run, tmp_path: Path) -> None:
    directory = make(tmp_path / "model", {"config.json": LLAMA, **TOKENIZER})
    sparse(directory / "model.safetensors", 4_000_000)
    (warning,) = plan(run, NIM_MODEL_PATH=str(directory))["warnings"]
    assert "it begins with zeros, and only its size is known" in warning
    code, _, said = run("serve --dry-run")
    assert code == 6
    assert "it begins with zeros" in said


def test_another_program_may_load_other_files(run: Run, tmp_path: Path) -> None:
    directory = make(tmp_path / "model", {"config.json": LLAMA, "model.safetensors": b"", **TOKENIZER})
    settings = {"NIM_MODEL_PATH": str(directory), "NIM_ENGINE_COMMAND": "python engine.py"}
    (warning,) = plan(run, **settings)["warnings"]
    assert "it is empty (hint: rm '" in warning


@pytest.mark.parametrize(
    ("files", "flags", "warned"),
    [
        ({}, "", ("has no tokenizer",)),
        ({"tokenizer_config.json": "{}"}, "", ("has no tokenizer",)),
        ({}, "--tokenizer org/words", ()),
        ({}, "--skip-tokenizer-init", ()),
        ({"vocab.txt": "a"}, "", ()),
        ({"qwen.tiktoken": "a"}, "", ()),
        ({"tokenizer.model.v3": "a"}, "", ()),
        (
            TOKENIZER,
            "--trust-remote-code",
            ("has no configuration_mine.py, modeling_mine.py, which",),
        ),
        ({**TOKENIZER, "configuration_mine.py": "", "modeling_mine.py": ""}, "--trust-remote-code", ()),
    ],
)
def test_missing_companion_files_are_warned_of(
    run: Run, tmp_path: Path, files: Mapping[str, Content], flags: str, warned: tuple[str, ...]
) -> None:
    code = {"AutoConfig": "configuration_mine.Mine", "AutoModel": "modeling_mine.Mine", "AutoX": "a/b--c.D"}
    model: Mapping[str, Content] = {"config.json": {**LLAMA, "auto_map": code}, "model.safetensors": ST}
    settings = {"NIM_MODEL_PATH": str(make(tmp_path / "model", {**model, **files}))}
    found = plan(run, NIM_PASSTHROUGH_ARGS=flags, **settings)["warnings"]
    assert len(found) == len(warned)
    assert all(text in warning for text, warning in zip(warned, found, strict=True))


MPT = LLAMA | {"architectures": ["MPTForCausalLM"]}
LLAVA = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava"}
BNB = LLAMA | {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MPT, 'cannot load the architecture "MPTForCausalLM" (config.json): vLLM 0.32.0 no longer has it'),
        (BNB, 'cannot load weights quantized by "bitsandbytes" (config.json): vLLM 0.32.0 no longer has it'),
        (LLAVA | {"text_config": {"quantization_config": {"quant_method": "exl2"}}}, 'quantized by "exl2"'),
        (LLAMA | {"compression_config": {"quant_method": "hqq"}}, 'quantized by "hqq"'),
        (LLAMA | {"architectures": ["NobodysForCausalLM"]}, "does not know it"),
        (MPT | {"auto_map": {"AutoModelForCausalLM": "modeling_mpt.MPT"}}, "would run the model's own code"),
    ],
)
@pytest.mark.parametrize("gpus", ["1xH100", "1xT4"])
def test_what_the_engine_does_not_have_is_refused_whatever_the_machine(
    run: Run, tmp_path: Path, config: Mapping[str, Content], message: str, gpus: str
) -> None:
    directory = make(tmp_path / "model", {"config.json": config, **TOKENIZER})
    sparse(directory / "model.safetensors", 60_000_000_000)
    code, _, said = run(f"plan --gpus {gpus}", NIM_MODEL_PATH=str(directory))
    assert code == 6, said
    assert message.replace("config.json", str(directory / "config.json")) in said


@pytest.mark.parametrize(
    ("config", "flags"),
    [
        (MPT, '--hf-overrides \'{"architectures": ["LlamaForCausalLM"]}\''),
        (MPT, "--hf-config-path org/other"),
        (MPT | {"auto_map": {"AutoModelForCausalLM": "org/code--modeling.MPT"}}, "--trust-remote-code"),
        (MPT | {"speculators_config": {}}, ""),
        (LLAMA | {"quantization_config": {"quant_method": "gptq", "bits": 4}}, "--quantization moe_wna16"),
        (LLAMA | {"quantization_config": {"bits": 4}}, ""),
    ],
)
def test_overrides_of_the_configuration_take_effect(
    run: Run, tmp_path: Path, config: Mapping[str, Content], flags: str
) -> None:
    directory = make(tmp_path / "model", {**WHOLE, "config.json": config})
    assert plan(run, NIM_MODEL_PATH=str(directory), NIM_PASSTHROUGH_ARGS=flags)["warnings"] == []


def test_a_quantization_in_a_file_of_its_own(run: Run, tmp_path: Path) -> None:
    modelopt = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}
    directory = make(tmp_path / "model", {**WHOLE, "hf_quant_config.json": modelopt})
    assert plan(run, NIM_MODEL_PATH=str(directory))["warnings"] == []
    other = {"quantization": {"quant_algo": "FP8"}, "quant_method": "vptq"}
    make(directory, {"hf_quant_config.json": other})
    code, _, said = run("plan --gpus 1xH100")
    assert code == 6
    assert 'quantized by "vptq"' in said


def test_the_engine_may_try(run: Run, tmp_path: Path) -> None:
    directory = make(tmp_path / "model", {**WHOLE, "config.json": MPT})
    (warning,) = plan(run, NIM_MODEL_PATH=str(directory), NIM_STRICT_ARGS="0")["warnings"]
    assert "MPTForCausalLM" in warning


HUB = {"NIM_MODEL_PATH": "hf://org/name"}
OFFLINE = {"NIM_DISABLE_MODEL_DOWNLOAD": "1"}


def hub(directory: Path) -> Path:
    return directory / "cache" / "huggingface" / "hub"


def test_a_model_in_the_cache_is_read(run: Run, tmp_path: Path) -> None:
    assert weights_gb(plan(run, **HUB)) is None
    cached(hub(tmp_path), WHOLE)
    found = plan(run, **HUB)
    assert weights_gb(found) == 2e-6
    assert found["profile"]["tags"]["precision"] == "bf16"
    assert plan(run, **OFFLINE)["model"]["source"] == "hf://org/name"


def test_files_missing_in_the_cache_need_a_download(run: Run, tmp_path: Path) -> None:
    shards = {"config.json": LLAMA, INDEX: index_of(*FOUR_SHARDS), **dict.fromkeys(FOUR_SHARDS[:2], ST)}
    cached(hub(tmp_path), shards)
    code, out, said = run("serve --dry-run", **HUB)
    warnings = [line for line in out.splitlines() if line.startswith("Warning") and "as root" not in line]
    assert (code, warnings) == (0, []), said
    code, _, said = run("serve --dry-run", **OFFLINE)
    assert code == 6
    assert f"of the files that {INDEX} names, {FOUR_SHARDS[2]}, {FOUR_SHARDS[3]} are not there" in said
    assert f"HF_HUB_CACHE='{hub(tmp_path)}' nim fetch --model-uri hf://org/name" in said


def test_nothing_in_the_cache_and_no_download(run: Run, tmp_path: Path) -> None:
    code, _, said = run("serve --dry-run", **HUB, **OFFLINE)
    assert code == 6
    assert (
        f"cannot serve hf://org/name: '{hub(tmp_path)}' has nothing of it, and NIM_DISABLE_MODEL_DOWNLOAD"
        in said
    )
    assert run("plan --gpus 1xH100")[0] == 0
    assert run("serve --dry-run", VLLM_USE_MODELSCOPE="1")[0] == 0


def test_what_is_damaged_in_the_cache_is_refused_also_online(run: Run, tmp_path: Path) -> None:
    """The hub's client takes for whole what is there."""
    cached(hub(tmp_path), {**WHOLE, "model.safetensors": safetensors(cut=3)})
    code, _, said = run("serve --dry-run", **HUB)
    assert code == 6
    assert "it is cut short" in said
    assert f"rm '{hub(tmp_path)}/models--org--name/blobs/" in said
