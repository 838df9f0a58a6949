"""Lines of engine arguments, wherever they were pasted from."""

import json
from pathlib import Path
from typing import Any

import pytest

from nim.errors import NimError, SettingsError
from nim.hardware import hardware_from_gpus
from nim.plan import Plan
from nim.planning.plan_request import Request
from nim.planning.planner import decide
from nim.settings import read_settings
from tests.unit.models.checkpoint.directories import safetensors

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 1000,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a model of a few kilobytes as far as a decision looks."""
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(CONFIG))
    (directory / "model.safetensors").write_bytes(safetensors())
    return directory


def planned(*arguments: str, **environ: str) -> Plan:
    environ = {"HOME": "/home/user", **environ}
    request = Request(
        settings=read_settings(environ),
        environ=environ,
        hardware=hardware_from_gpus("1xH100"),
        arguments=arguments,
        other_machine=True,
    )
    return decide(request)[0]


def said(plan: Plan, name: str) -> Any:
    return plan.config[name].value


def refused(*arguments: str, **environ: str) -> NimError:
    with pytest.raises(NimError) as error:
        planned(*arguments, **environ)
    return error.value


def test_a_command_of_the_vllm_image_is_taken(model: Path) -> None:
    plan = planned("vllm", "serve", str(model), "--dtype", "auto")
    assert plan.model.path == str(model)
    assert said(plan, "dtype") == "auto"
    assert 'the command line: "vllm serve" is left out: the launcher starts the engine' in plan.warnings


def test_the_hub_s_name_behind_vllm_serve_is_the_hub_s() -> None:
    plan = planned("vllm", "serve", "org/name", "--max-model-len", "4096")
    assert plan.model.source == "hf://org/name"
    assert "the command line: the model org/name is taken for hf://org/name" in plan.warnings


def test_alone_it_may_be_a_directory_that_is_missing() -> None:
    error = refused("org/name")
    assert "there is no such directory" in error.message
    assert "NIM_MODEL_PATH=hf://org/name" in (error.hint or "")


def test_two_variables_that_name_two_models_are_warned_of(model: Path) -> None:
    line = {"NIM_PASSTHROUGH_ARGS": f"vllm serve {model}"}
    plan = planned(NIM_MODEL_PATH="hf://org/other", **line)
    assert plan.model.path == str(model)
    assert f"NIM_MODEL_PATH 'hf://org/other' is not used: NIM_PASSTHROUGH_ARGS names {model}" in plan.warnings
    assert not any("is not used" in one for one in planned(NIM_MODEL_PATH=str(model), **line).warnings)


def test_the_old_server_module_and_its_model(model: Path) -> None:
    line = f"python3 -m vllm.entrypoints.openai.api_server --model {model} --max-num-seqs 4"
    plan = planned(NIM_PASSTHROUGH_ARGS=line)
    assert (plan.model.path, said(plan, "max_num_seqs")) == (str(model), 4)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('"--max-model-len 4096 --max-num-seqs 4"', "the quotes around all of it are left out"),
        ("--max-model-len\u00a04096\r\n--max-num-seqs 4 # four", "U+00A0 is read as a blank"),
        ("- --max-model-len\n- 4096\n- --max-num-seqs\n- 4", "it is read as a YAML list"),
        ("['--max-model-len', '4096', '--max-num-seqs', '4']", "it is read as the JSON array"),
    ],
)
def test_remains_of_pasting_are_understood_with_a_note(model: Path, text: str, warning: str) -> None:
    plan = planned(NIM_MODEL_PATH=str(model), NIM_PASSTHROUGH_ARGS=text)
    assert (said(plan, "max_model_len"), said(plan, "max_num_seqs")) == (4096, 4)
    assert any(one.startswith("NIM_PASSTHROUGH_ARGS: ") and warning in one for one in plan.warnings)


@pytest.mark.parametrize("text", ["8192 --max-num-seqs 4", "--max-num-seqs 4 8192", "--enforce-eager high"])
def test_a_stray_word_is_named_with_its_variable(model: Path, text: str) -> None:
    error = refused(NIM_MODEL_PATH=str(model), NIM_PASSTHROUGH_ARGS=text)
    word = next(word for word in ("8192", "high") if word in text)
    assert error.message.startswith(f'cannot use "{word}" from NIM_PASSTHROUGH_ARGS: no option goes with it')
    assert isinstance(error, SettingsError)


def test_a_stray_word_on_the_command_line(model: Path) -> None:
    error = refused("8192", "--max-num-seqs", "4", NIM_MODEL_PATH=str(model))
    assert error.message.startswith('cannot use "8192" from the command line: ')


@pytest.mark.parametrize("text", ["$NAME", "${NAME}", "$(NAME)"])
def test_a_reference_that_nothing_has_replaced_is_warned_of(model: Path, text: str) -> None:
    template = f"/models/{text}.jinja"
    for arguments, variables, place in (
        (("--tokenizer", template), {}, "the command line"),
        ((), {"NIM_PASSTHROUGH_ARGS": f"--tokenizer {template}"}, "NIM_PASSTHROUGH_ARGS"),
    ):
        plan = planned(str(model), *arguments, **variables)
        assert said(plan, "tokenizer") == template
        assert f"{place}: nothing replaces {text} here" in plan.warnings


def test_a_model_in_the_passthrough_is_named_with_it(tmp_path: Path) -> None:
    error = refused(NIM_PASSTHROUGH_ARGS=f"{tmp_path}/nowhere --max-num-seqs 4")
    assert f"cannot use '{tmp_path}/nowhere' (from NIM_PASSTHROUGH_ARGS): " in error.message


def test_runtime_config_is_checked_and_its_notes_are_warnings(model: Path) -> None:
    (model / "runtime_config.json").write_text(json.dumps({"max_lora_rank": 48}))
    assert f'"max_lora_rank" from {model}/runtime_config.json: 48 is not among' in refused(str(model)).message
    values = {"NIM_PASSTHROUGH_ARGS": '"--max-num-seqs 4"', "log_config_file": "x"}
    (model / "runtime_config.json").write_text(json.dumps(values))
    plan = planned(str(model))
    assert said(plan, "max_num_seqs") == 4
    assert any("the quotes around all of it" in one for one in plan.warnings)
    assert any('"log_config_file" in' in one for one in plan.warnings)


def test_a_profile_is_checked_before_it_is_rendered(tmp_path: Path, model: Path) -> None:
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(
        f"""\
schema_version: 2.0.0
model: {{name: test/model, source: {model}}}
profiles:
  - id: "{"0" * 64}"
    tags: {{llm_engine: vllm, precision: bf16, tp: "1", pp: "1"}}
    engine: {{args: {{max-lora-rank: 48}}}}
"""
    )
    error = refused(NIM_MANIFEST_PATH=str(manifest))
    assert error.exit_code == 3
    assert 'the value of "max_lora_rank" from profile vllm-bf16-tp1-pp1: 48 is not among' in error.message
    assert error.hint == "max_lora_rank: 64"
    lenient = planned(NIM_MANIFEST_PATH=str(manifest), NIM_STRICT_ARGS="0")
    assert "max_lora_rank" not in lenient.config
    assert any("48 is not among" in one for one in lenient.warnings)
