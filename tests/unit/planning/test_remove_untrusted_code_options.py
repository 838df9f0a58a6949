"""Who may let code that comes with a model run: a person or a manifest, never the model itself."""

import json
from pathlib import Path

import pytest

from nim.cli.verbs.serve import announce
from nim.data_paths import PROFILES, ROOT
from nim.engine import load_options
from nim.manifest import load_manifest, manifest_paths
from nim.planning.remove_untrusted_code_options import CODE, TRUST
from nim.value_origins import Layer
from tests.unit.planning.option_layers.test_read_engine_argument_line import model, planned

__all__ = ["model"]

OWN = {"trust_remote_code": True, "reasoning_parser_plugin": "parser.py", "max_num_seqs": 4}


@pytest.fixture
def talkative(model: Path) -> Path:
    """A model whose own file asks for its own code."""
    (model / "runtime_config.json").write_text(json.dumps(OWN))
    (model / "parser.py").write_text("raise SystemExit")
    return model


def test_a_model_does_not_vouch_for_itself(talkative: Path) -> None:
    plan = planned(str(talkative))
    assert {TRUST, "reasoning_parser_plugin"} & plan.config.keys() == set()
    assert "--trust-remote-code" not in plan.engine.argv
    assert not [word for word in plan.engine.argv if "parser.py" in word]
    assert plan.config["max_num_seqs"].value == 4
    left_out = [one for one in plan.warnings if "NIM_TRUST_CUSTOM_CODE=1 allows it" in one]
    assert [one.split()[0] for one in left_out] == ["--trust-remote-code", "--reasoning-parser-plugin"]


@pytest.mark.parametrize(
    ("arguments", "environ", "who"),
    [
        ((), {"NIM_TRUST_CUSTOM_CODE": "1"}, "ENV (NIM_TRUST_CUSTOM_CODE)"),
        (("--trust-remote-code",), {}, "CLI (the command line)"),
        ((), {"NIM_PASSTHROUGH_ARGS": "--trust-remote-code"}, "PASSTHROUGH (NIM_PASSTHROUGH_ARGS)"),
    ],
)
def test_a_person_does_and_the_log_says_who(
    talkative: Path,
    arguments: tuple[str, ...],
    environ: dict[str, str],
    who: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = planned(str(talkative), *arguments, **environ)
    assert "--trust-remote-code" in plan.engine.argv
    assert plan.config["reasoning_parser_plugin"].value == str(talkative / "parser.py")
    announce(plan)
    assert f"code that comes with the model may run: --trust-remote-code, {who}" in capsys.readouterr().err


def test_a_manifest_does_and_the_model_s_word_changes_nothing(
    talkative: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(
        f"""\
schema_version: 2.0.0
model: {{name: test/model, source: {talkative}}}
profiles:
  - id: "{"0" * 64}"
    tags: {{llm_engine: vllm, precision: bf16, tp: "1", pp: "1"}}
    engine: {{args: {{trust-remote-code: true}}}}
"""
    )
    plan = planned(NIM_MANIFEST_PATH=str(manifest))
    assert "--trust-remote-code" in plan.engine.argv
    assert plan.config[TRUST].origin.layer is Layer.PROFILE
    announce(plan)
    assert "code that comes with the model may run: --trust-remote-code, PROFILE" in capsys.readouterr().err


def test_a_person_s_no_is_stronger(talkative: Path) -> None:
    plan = planned(str(talkative), "--no-trust-remote-code")
    assert plan.config[TRUST].value is False
    assert "reasoning_parser_plugin" not in plan.config


def test_without_it_the_log_says_nothing(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce(planned(str(model)))
    assert "code that comes with the model" not in capsys.readouterr().err


def test_the_engine_has_these_options() -> None:
    assert set(CODE) <= load_options().options.keys()


def test_the_security_page_names_the_shipped_manifests_that_do() -> None:
    manifests = {path.stem: load_manifest(path) for path in manifest_paths(PROFILES)}
    trusting = {
        name
        for name, manifest in manifests.items()
        if any(profile.engine.args.get("trust-remote-code") for profile in manifest.profiles)
    }
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    (line,) = [part for part in text.split("\n\n") if part.startswith("**Code that comes with a model**")]
    assert {name for name in manifests if f"`{name}`" in line} == trusting
