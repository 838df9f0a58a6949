"""A recipe's arguments against the engine's option table."""

from typing import Any

import pytest

from nim.recipes.find_refused_arguments import Checked, judge_parts
from nim.recipes.override_precedence import Part
from tests.unit.recipes.small import TABLE


def check(*args: str, whole: bool = False, env: dict[str, str] | None = None) -> Checked:
    return judge_parts([Part(key="model.base_args", args=args, env=env or {}, whole=whole)], TABLE)


def values(checked: Checked) -> dict[str, Any]:
    return {name: said.value for name, said in checked.options.args.items()}


def test_arguments_become_typed_options_with_their_recipe_key() -> None:
    checked = check("--max-model-len", "8k", "--async-scheduling", "--no-enable-prefix-caching")
    assert values(checked) == {
        "max-model-len": 8000,
        "async-scheduling": True,
        "enable-prefix-caching": False,
    }
    assert {said.key for said in checked.options.args.values()} == {"model.base_args"}
    assert not checked.refused


def test_every_spelling_of_the_engine_is_understood() -> None:
    checked = check("--tokenizer_mode", "mistral", "--block-size=64", "-cc.mode", "3")
    assert values(checked) == {
        "tokenizer-mode": "mistral",
        "block-size": 64,
        "compilation-config": {"mode": 3},
    }


def test_the_later_part_wins_and_names_its_key() -> None:
    parts = [
        Part(key="model.base_args", args=("--kv-cache-dtype", "auto", "--max-num-seqs", "8")),
        Part(key="hardware_overrides.hopper", args=("--kv-cache-dtype", "fp8")),
    ]
    checked = judge_parts(parts, TABLE)
    assert values(checked) == {"kv-cache-dtype": "fp8", "max-num-seqs": 8}
    assert checked.options.args["kv-cache-dtype"].key == "hardware_overrides.hopper"


def test_keys_of_one_object_are_joined_as_on_one_command_line() -> None:
    parts = [
        Part(key="a", args=("--attention_config.backend", "FLASHINFER")),
        Part(key="b", args=("--attention_config.indexer_kv_dtype", "fp8")),
    ]
    both = {"backend": "FLASHINFER", "indexer_kv_dtype": "fp8"}
    assert values(judge_parts(parts, TABLE)) == {"attention-config": both}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--usp", "4"], "has no such option"),
        (["--disable-log-requests"], "instead: --no-enable-log-requests"),
        (["--max-num-seqs", "many"], "--max-num-seqs"),
        (["--moe-backend", "magic"], "--moe-backend"),
        (["--max-num-seqs"], "no value follows"),
        (["--attention_config.use_magic", "True"], 'no key "use_magic"'),
        (["--reasoning-parser", "magic"], "no such parser"),
        (["--tool-call-parser", "magic"], "no such parser"),
        (["--data-parallel-size", "4"], "tp × pp GPUs"),
        (["--pipeline-parallel-size", "2"], "tp × pp GPUs"),
        (["--nnodes", "2"], "tp × pp GPUs"),
        (["--enforce-eager", "true"], "takes no value"),
        (["some/model"], "no option goes with it"),
    ],
)
def test_what_the_engine_does_not_take_is_refused_with_its_reason(args: list[str], words: str) -> None:
    checked = check(*args, "--async-scheduling")
    (reason,) = checked.refused
    assert reason.key == "model.base_args"
    assert words in reason.text
    assert "NIM_STRICT_ARGS" not in reason.text
    assert values(checked) == {"async-scheduling": True}


def test_all_errors_are_reported_at_once() -> None:
    assert len(check("--usp", "4", "--ring", "1", "--max-num-seqs", "x").refused) == 3


def test_a_feature_is_taken_whole_or_not_at_all() -> None:
    args = ("--enable-auto-tool-choice", "--tool-call-parser", "magic")
    assert values(check(*args)) == {"enable-auto-tool-choice": True}
    assert values(check(*args, whole=True)) == {}


def test_what_the_launcher_sets_itself_is_left_out() -> None:
    checked = check("--host", "0.0.0.0", "--port", "8000", "--max-num-seqs", "8")
    assert values(checked) == {"max-num-seqs": 8}
    assert not checked.refused
    assert [reason.text.partition(":")[0] for reason in checked.left_out] == ["--host 0.0.0.0", "--port 8000"]


def test_the_served_name_and_the_parallel_size_are_the_manifests() -> None:
    checked = check("--served-model-name", "acme/rocket", "--tensor-parallel-size", "4")
    assert checked.served_name == "acme/rocket"
    assert checked.tp == 4
    assert values(checked) == {}


def test_a_template_of_the_engines_sources_is_left_out_and_one_of_the_image_kept() -> None:
    checked = check("--chat-template", "examples/tools.jinja", "--tool-call-parser", "hermes", whole=True)
    assert values(checked) == {"tool-call-parser": "hermes"}
    assert "examples/tools.jinja" in checked.left_out[0].text
    assert values(check("--chat-template", "/opt/t.jinja")) == {"chat-template": "/opt/t.jinja"}


def test_a_feature_with_a_plugin_file_elsewhere_is_left_out() -> None:
    args = ("--reasoning-parser-plugin", "nano.py", "--reasoning-parser", "nano")
    checked = check(*args, whole=True)
    assert values(checked) == {}
    assert not checked.refused
    assert '"nano.py"' in checked.left_out[0].text
    kept = check("--reasoning-parser-plugin", "/opt/nano.py", "--reasoning-parser", "nano", whole=True)
    assert values(kept) == {"reasoning-parser-plugin": "/opt/nano.py", "reasoning-parser": "nano"}


def test_only_the_parser_is_left_out_if_its_plugin_is_missing() -> None:
    args = ("--max-num-seqs", "8", "--reasoning-parser-plugin", "nano.py", "--reasoning-parser", "nano")
    checked = check(*args)
    assert values(checked) == {"max-num-seqs": 8}
    assert not checked.refused


def test_variables_are_kept_with_a_note_on_those_the_engine_does_not_read() -> None:
    env = {"VLLM_USE_FLASHINFER_MOE_FP4": "1", "NCCL_CUMEM_ENABLE": "1", "VLLM_ENGINE_READY_TIMEOUT_S": "9"}
    found = check(env=env).options.env
    assert {name: said.value for name, said in found.items()} == env
    assert found["NCCL_CUMEM_ENABLE"].note is None
    assert found["VLLM_ENGINE_READY_TIMEOUT_S"].note is None
    assert (found["VLLM_USE_FLASHINFER_MOE_FP4"].note or "").startswith(
        f"vLLM {TABLE.version} no longer has it"
    )


@pytest.mark.parametrize("value", ["$IFACE_NAME", "${IB}", "/path/to/x"])
def test_what_a_person_must_fill_in_is_left_out(value: str) -> None:
    checked = check(env={"NCCL_IB_HCA": value})
    assert checked.options.env == {}
    assert value in checked.left_out[0].text


def test_a_variable_that_a_manifest_cannot_hold_is_left_out() -> None:
    checked = check(env={"OMPI_MCA_btl": "1"})
    assert checked.options.env == {}
    assert "OMPI_MCA_btl" in checked.left_out[0].text


def test_options_that_open_routes_have_a_note() -> None:
    found = check("--trust-remote-code", "--allowed-local-media-path", "/").options.args
    assert "code" in (found["trust-remote-code"].note or "")
    assert "every client" in (found["allowed-local-media-path"].note or "")
