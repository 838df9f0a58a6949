"""What a model's files or the environment say cannot command the terminal, or pose as a line of ours."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_plan import nim
from tests.unit.models.checkpoint.directories import Content, make, safetensors
from tests.unit.models.models import LLAMA

VERBS = ("plan", "hardware", "profiles", "fetch")
BAD = "\x1b[31mX\x9b2J\u202e\nnim: all good"
LISTS, OBJECTS = ("architectures", "layer_types"), ("quantization_config", "rope_scaling")
CONFIG_KEYS = (*LISTS, *OBJECTS, "model_type", "torch_dtype")


def config_with(key: str) -> dict[str, Any]:
    nested = {"quant_method": BAD, "type": BAD, "rope_type": BAD, "factor": BAD}
    return LLAMA | {key: nested if key in OBJECTS else [BAD] if key in LISTS else BAD}


def is_clean(text: str) -> bool:
    lines = text.splitlines()
    return not set(text) & set("\x1b\x9b\u202e") and "nim: all good" not in (line[:13] for line in lines)


@pytest.mark.parametrize("key", CONFIG_KEYS)
@pytest.mark.parametrize("verb", ["model {}", "plan", "plan --explain", "plan --json", "serve --dry-run"])
def test_configuration(tmp_path: Path, key: str, verb: str) -> None:
    files: dict[str, Content] = {
        "config.json": config_with(key),
        "model.safetensors": safetensors({"BF16": 1000}),
        "tokenizer.json": "{}",
    }
    directory = make(tmp_path / "model", files)
    gpus = [] if verb.startswith("serve") else ["--gpus", "1xH100"]
    done = nim(*verb.format(directory).split(), *gpus, NIM_MODEL_PATH=str(directory))
    assert "Traceback" not in done.stderr
    assert is_clean(done.stdout), done.stdout
    assert is_clean(done.stderr), done.stderr


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        ("NIM_MODEL_NAME", "plan"),
        ("NIM_MODEL_PROFILE", "plan"),
        ("NIM_SERVED_MODEL_NAME", "plan"),
        ("NIM_SERVED_MODEL_NAME", "serve --dry-run"),
        ("NIM_TAGS_SELECTOR", "profiles"),
        ("NIM_PASSTHROUGH_ARGS", "plan"),
        ("NIM_SERVER_PORT", "plan"),
        ("VLLM_API_KEY", "plan"),
        ("NIM_MODEL_PATH", "fetch"),
        ("NIM_MODEL_PATH", "model hf://a/b"),
    ],
)
def test_environment(name: str, verb: str) -> None:
    done = nim(*verb.split(), **{name: f"--seed 1 {BAD}" if "ARGS" in name else BAD})
    assert "Traceback" not in done.stderr
    assert not set(done.stdout + done.stderr) & set("\x1b\x9b\u202e")


@pytest.mark.parametrize("verb", VERBS)
def test_arguments(verb: str) -> None:
    for option in ("--gpus", "--hardware"):
        done = nim(verb, option, BAD)
        assert "Traceback" not in done.stderr
        assert not set(done.stdout + done.stderr) & set("\x1b\x9b\u202e")


def test_json_stays_json(tmp_path: Path) -> None:
    directory = make(tmp_path / "model", {"config.json": config_with("architectures")})
    assert "\\x1b" in json.loads(nim("model", str(directory), "--json").stdout)["architecture"]
