"""Warnings go to stderr if stdout is read by a program."""

import json
import os
from pathlib import Path

import pytest

from nim.cli.main import main

WORD = "NIM_LOW_MEMORY_MODE is a variable of NIM 1.x"


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Return no variables of ours but one that is warned of."""
    for name in os.environ:
        if name.startswith(("NIM_", "VLLM_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NIM_LOW_MEMORY_MODE", "1")
    return monkeypatch


@pytest.mark.parametrize(
    "arguments",
    [
        "plan --gpus 1xH100 --json",
        "profiles --gpus 1xH100 --json",
        "list-model-profiles --gpus 1xH100",
        "routes --json",
        "settings --json",
    ],
)
def test_warnings_are_on_stderr(
    environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    environ.setenv("NIM_MODEL_NAME", "meta/llama-3.1-8b-instruct")
    assert main(arguments.split()) == 0
    said = capsys.readouterr()
    warnings = [line for line in said.err.splitlines() if WORD in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("WARNING ")
    if "--json" in arguments:
        json.loads(said.out)


def test_a_plan_as_data_has_them_too(environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    environ.setenv("NIM_MODEL_NAME", "meta/llama-3.1-8b-instruct")
    main(["plan", "--gpus", "1xH100", "--json"])
    assert any(WORD in warning for warning in json.loads(capsys.readouterr().out)["warnings"])


def test_the_text_of_a_plan_has_them_once(
    environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ.setenv("NIM_MODEL_NAME", "meta/llama-3.1-8b-instruct")
    main(["plan", "--gpus", "1xH100"])
    said = capsys.readouterr()
    assert (said.out.count(WORD), said.err) == (1, "")


def test_a_difference_and_an_explanation_do_not_keep_them_back(
    environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    environ.setenv("NIM_MODEL_NAME", "meta/llama-3.1-8b-instruct")
    main(["plan", "--gpus", "1xH100", "--json"])
    (tmp_path / "plan.json").write_text(capsys.readouterr().out)
    for more in (f"--diff {tmp_path}/plan.json", "--explain"):
        main(f"plan --gpus 1xH100 {more}".split())
        assert WORD in capsys.readouterr().err


def test_they_have_the_form_and_the_level_of_the_log(
    environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ.setenv("NIM_JSONL_LOGGING", "1")
    main(["settings", "--json"])
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["level"] == "WARNING"
    environ.setenv("NIM_LOG_LEVEL", "ERROR")
    main(["settings", "--json"])
    assert capsys.readouterr().err == ""


def test_settings_are_described_whatever_is_set(
    environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ.setenv("NIM_SERVER_PORT", "abc")
    assert main(["settings", "NIM_SERVER_PORT"]) == 0
    assert "NIM_SERVER_PORT (port" in capsys.readouterr().out


def test_a_variable_of_another_release_is_described(
    environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["settings", "NIM_GUIDED_DECODING_BACKEND"]) == 2
    said = capsys.readouterr().err
    assert "cannot describe 'NIM_GUIDED_DECODING_BACKEND': it is a variable of NIM 1.x" in said
    assert "--structured-outputs-config.backend" in said


def test_a_plan_warns_of_variables_that_prevent_downloads(
    environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ.setenv("HF_ENDPOINT", "hf-mirror.com")
    main(["plan", "--gpus", "1xH100", "hf://org/name"])
    assert 'Warning: cannot use HF_ENDPOINT "hf-mirror.com"' in capsys.readouterr().out
    environ.setenv("NIM_DISABLE_MODEL_DOWNLOAD", "1")
    main(["plan", "--gpus", "1xH100", "hf://org/name"])
    assert "HF_ENDPOINT" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", ["vllm serve hf://org/name --seed 1", "python3 -m vllm.entrypoints.openai.api_server"]
)
def test_a_command_of_the_engine_s_image_serves(
    environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    """As an image's command, without a verb of ours."""
    environ.setenv("NIM_MODEL_NAME", "nim/demo")
    assert main([*words.split(), "--dry-run"]) in (0, 5)
    assert "there is no such verb" not in capsys.readouterr().err


def test_a_secret_of_nothing_but_blanks_starts_nothing(
    environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ.setenv("VLLM_API_KEY", "\n")
    assert main(["plan", "--gpus", "1xH100"]) == 2
    assert "cannot use VLLM_API_KEY: its value is blank" in capsys.readouterr().err
