"""`nim plan` and `nim-serve --dry-run`: one object with everything, no secrets, and differences."""

import contextlib
import fcntl
import json
import os
import pty
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from nim.engine import load_options, parse_arguments, tokenize
from tests.in_process import call_nim

ROOT = Path(__file__).resolve().parents[2]
ULTRA = "nvidia/nemotron-3-ultra-550b-a55b"
NVFP4 = (
    "--kv-cache-dtype nvfp4 --mamba-ssm-cache-dtype float16 --enable-mamba-cache-stochastic-rounding "
    "--mamba-cache-philox-rounds 5"
)
MTP = '--speculative-config \'{"method":"mtp","num_speculative_tokens":%d}\''
THROUGHPUT = (
    "--max-model-len 262144 --enable-prefix-caching --mamba-cache-mode align --max-num-batched-tokens 32768 "
    "--block-size 64 --max-num-seqs 72 "
) + MTP % 1
PARSERS = "--enable-auto-tool-choice --tool-call-parser qwen3_coder --reasoning-parser nemotron_v3"


def nim(*words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Return a verb with these variables and none of the tester's own."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("NIM_", "VLLM_", "HF_"))
    }
    return call_nim(words, {**clean, "HOME": "/home/user", **env})


def plan(gpus: str, **env: str) -> Any:
    done = nim("plan", "--gpus", gpus, "--json", **{"NIM_MODEL_NAME": ULTRA} | env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_one_object_has_it_all() -> None:
    whole = plan("2xB200")
    assert whole["profile"]["label"] == "vllm-nvidia-b200-nvfp4-tp2-pp1"
    assert len(whole["profile"]["id"]) == 64
    assert whole["profile"]["tags"]["precision"] == "nvfp4"
    assert whole["engine"]["argv"][:3] == ["vllm", "serve", "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-NVFP4"]
    assert whole["engine"]["env"]["VLLM_USE_FLASHINFER_MOE_FP4"] == "1"
    assert whole["config"]["max_num_seqs"]["value"] == 64
    assert whole["config"]["max_num_seqs"]["source"] == "PROFILE"
    assert {"needed", "found"} <= next(iter(whole["refused"].values())).keys()
    assert {"nginx.conf", "vllm.args", "manifest.json"} <= whole["files"].keys()
    rendered = [json.loads(line) for line in whole["files"]["vllm.args"].splitlines()]
    assert rendered == whole["engine"]["argv"]


def test_the_diff_shows_all_overridden_values() -> None:
    value = plan("2xB200", NIM_MAX_BATCH_SIZE="32", NIM_PASSTHROUGH_ARGS="--max-num-seqs 8")["config"][
        "max_num_seqs"
    ]
    told = []
    while value:
        told.append((value["value"], value["source"]))
        value = value.get("previous")
    assert told == [(8, "PASSTHROUGH"), (32, "ENV"), (64, "PROFILE")]


@pytest.mark.parametrize(
    ("gpus", "env", "seed"),
    [
        ("2xB200", {}, f"{NVFP4} --max-num-seqs 64"),
        ("2xB200", {"NIM_PASSTHROUGH_ARGS": f"{NVFP4} --max-num-seqs 64"}, f"{NVFP4} --max-num-seqs 64"),
        (
            "8xB200",
            {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1", "NIM_PASSTHROUGH_ARGS": "--max-model-len 1048576"},
            f"{NVFP4} --max-model-len 1048576",
        ),
        ("8xB200", {"NIM_PASSTHROUGH_ARGS": MTP % 2}, f"{NVFP4} {MTP % 2}"),
        (
            "8xB200",
            {"VLLM_SSM_CONV_STATE_LAYOUT": "DS", "NIM_PASSTHROUGH_ARGS": THROUGHPUT},
            f"{NVFP4} {THROUGHPUT}",
        ),
        ("8xB200", {"NIM_MODEL_PROFILE": "default+throughput-chat"}, f"{NVFP4} {THROUGHPUT}"),
        ("8xH200", {"NIM_PASSTHROUGH_ARGS": PARSERS}, PARSERS),
    ],
    ids=[
        "NVFP4 by the profile",
        "NVFP4 by hand",
        "1M context",
        "MTP",
        "throughput",
        "throughput by name",
        "parsers",
    ],
)
def test_the_day_0_guides_examples_arrive_in_the_engines_arguments(
    gpus: str, env: dict[str, str], seed: str
) -> None:
    whole = plan(gpus, **env)
    table = load_options()
    ours = parse_arguments(_but_owned(whole["engine"]["argv"][3:]), table, place="rendered").values
    theirs = parse_arguments(tokenize(seed, place="seed"), table, place="seed").values
    assert {name: ours.get(name) for name in theirs} == dict(theirs)
    for name, value in env.items():
        if name.startswith("VLLM_"):
            assert whole["engine"]["env"][name] == value


def _but_owned(argv: list[str]) -> list[str]:
    """Return what a user may write: the launcher's own flags cannot be parsed as a user's."""
    rest, skipping = [], False
    for word in argv:
        if word.startswith("--"):
            skipping = word in {"--uds", "--port", "--served-model-name"}
        if not skipping:
            rest.append(word)
    return rest


AWKWARD = [
    "{{ x }}",
    "%(y)s 100%",
    "$HOME `id` $(id)",
    "a; b & c | d",
    "# no comment",
    'it\'s "quoted"',
    "two\nlines",
    "🚀 é",
]


@pytest.mark.parametrize("value", AWKWARD)
@pytest.mark.parametrize("form", [shlex.join, json.dumps], ids=["shell", "JSON"])
def test_awkward_values_arrive_as_they_were_written(value: str, form: Any) -> None:
    whole = plan("8xB200", NIM_PASSTHROUGH_ARGS=form(["--chat-template", value]))
    argv = whole["engine"]["argv"]
    assert argv[argv.index("--chat-template") + 1] == value


def test_equal_starts_have_equal_hashes_wherever_they_run() -> None:
    first = plan("2xB200", NIM_RUN_DIR="/tmp/one")["hash"]
    assert plan("2xB200", NIM_RUN_DIR="/tmp/two")["hash"] == first
    assert plan("2xB200", NIM_MAX_MODEL_LEN="4096")["hash"] != first


def test_the_difference_of_two_plans_names_who_made_it(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps(plan("2xB200")))
    done = nim("plan", "--gpus", "2xB200", "--diff", str(old), NIM_MODEL_NAME=ULTRA, NIM_MAX_MODEL_LEN="4096")
    was, now = done.stdout.rstrip("\n").split(" → ")
    assert was == "max_model_len: 262144 (PROFILE: profile vllm-nvidia-b200-nvfp4-tp2-pp1)"
    assert now == "4096 (ENV: NIM_MAX_MODEL_LEN)"
    same = nim("plan", "--gpus", "2xB200", "--diff", str(old), NIM_MODEL_NAME=ULTRA)
    assert same.stdout == "no difference\n"


def test_a_file_that_is_no_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    done = nim("plan", "--gpus", "2xB200", "--diff", str(tmp_path / "x.json"), NIM_MODEL_NAME=ULTRA)
    assert done.returncode == 2
    assert "as a plan" in done.stderr


def test_the_dry_run_prints_nims_sections() -> None:
    done = nim("serve", "--dry-run", "--max-num-seqs", "4")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert text.startswith("Selected profile: ")
    event = json.loads(text[text.index("{") : text.index("\nEngine Environment")])
    assert event["event"] == "nim_config_resolved"
    assert event["config"]["max_num_seqs"]["source"] == "CLI"
    assert "Backend Arguments" in text
    assert "    --max-num-seqs 4 \\\n" in text


SECRETS = {
    "HF_TOKEN": "hf_planted1",
    "NGC_API_KEY": "nvapi-planted2",
    "VLLM_API_KEY": "sk-planted3",
    "AWS_SECRET_ACCESS_KEY": "planted4",
    "VLLM_REDIS_URL": "redis://user:planted5@h",
    "VLLM_NIXL_AUTHKEY": "planted6",
    "VLLM_SOME_AUTH": "planted7",
    "VLLM_OF_A_PLUGIN": "planted8",
    "HF_ENDPOINT": "https://user:planted9@hub.example",
    "HTTPS_PROXY": "user:planted10@proxy.example:3128",
}


@pytest.mark.parametrize("words", [["--json"], ["--explain"], []])
def test_no_secret_is_ever_printed(words: list[str]) -> None:
    done = nim("plan", "--gpus", "2xB200", *words, **SECRETS, NIM_MODEL_NAME=ULTRA)
    assert done.returncode == 0, done.stderr
    assert "planted" not in done.stdout + done.stderr


def test_a_secret_among_the_flags_is_refused_unseen() -> None:
    done = nim("plan", "--gpus", "2xB200", "--api-key", "sk-planted5", NIM_MODEL_NAME=ULTRA)
    assert done.returncode == 2
    assert "planted" not in done.stdout + done.stderr
    assert "VLLM_API_KEY" in done.stderr


def test_profiles_are_nims_sections_in_a_pipe_and_a_table_on_a_terminal() -> None:
    piped = nim("profiles", "--gpus", "2xB200", NIM_MODEL_NAME=ULTRA)
    assert piped.stdout.startswith("SYSTEM INFO\n- Free GPUs:\n")
    assert "- Incompatible with system:" in piped.stdout
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen(
        [sys.executable, "-m", "nim", "profiles", "--gpus", "2xB200"],
        env={**environ, "NIM_MODEL_NAME": ULTRA, "TERM": "xterm"},
        cwd=ROOT,
        stdout=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal whose program has ended
            while piece := os.read(ours, 65536):
                shown += piece
    os.close(ours)
    assert process.returncode == 0
    assert "vllm-nvidia-b200-nvfp4-tp2-pp1" in shown.decode()
    assert "┃" in shown.decode()


def test_the_listing_is_data_with_json() -> None:
    listed = json.loads(nim("profiles", "--gpus", "2xB200", "--json", NIM_MODEL_NAME=ULTRA).stdout)
    assert [profile["label"] for profile in listed["compatible"]] == ["vllm-nvidia-b200-nvfp4-tp2-pp1"]


@pytest.mark.parametrize(
    ("flags", "part", "hint"),
    [
        (["--hf-overrides", '{"a": {"auth_token": "planted"}}'], "auth_token", "HF_TOKEN"),
        (["--hf-overrides.auth_token", "planted"], "auth_token", "HF_TOKEN"),
        (
            ["--otlp-traces-endpoint", "http://u:planted@h"],
            "user and password",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        ),
        (["--kv-transfer-config", '{"kv_connector_extra_config": {"dsn": "planted"}}'], "dsn", "a variable"),
    ],
)
def test_a_secret_within_a_flag_is_refused_unseen(flags: list[str], part: str, hint: str) -> None:
    done = nim("plan", "--gpus", "2xB200", *flags, NIM_MODEL_NAME=ULTRA)
    assert (done.returncode, "planted" in done.stdout + done.stderr) == (2, False)
    assert part in done.stderr
    assert hint in done.stderr


@pytest.mark.parametrize("setting", ["NIM_PASSTHROUGH_ARGS", "NIM_ENGINE_COMMAND"])
def test_a_secret_that_is_passed_on_unchecked_is_refused_unseen(setting: str) -> None:
    line = 'wrapper --no-such-flag \'{"password": "planted"}\' {engine}'
    flags = {setting: line.removeprefix("wrapper ").removesuffix(" {engine}") if "ARGS" in setting else line}
    done = nim("plan", "--gpus", "2xB200", NIM_MODEL_NAME=ULTRA, NIM_STRICT_ARGS="0", **flags)
    assert (done.returncode, "planted" in done.stdout + done.stderr) == (2, False)
    assert "any user who lists the processes can read it" in done.stderr


def test_an_undeclared_variable_is_shown_as_set() -> None:
    done = nim(
        "plan",
        "--gpus",
        "2xB200",
        "--json",
        NIM_MODEL_NAME=ULTRA,
        **SECRETS | {"VLLM_ENGINE_READY_TIMEOUT_S": "7"},
    )
    config = json.loads(done.stdout)["config"]
    assert config["VLLM_OF_A_PLUGIN"] == {"value": "****", "source": "ENV", "place": "VLLM_OF_A_PLUGIN"}
    assert config["VLLM_ENGINE_READY_TIMEOUT_S"]["value"] == "7"


def test_a_secret_in_a_refused_value_is_masked() -> None:
    planted = {"VLLM_ENGINE_READY_TIMEOUT_S": "http://user:planted@h", "NIM_JSONL_LOGGING": "1"}
    done = nim("plan", "--gpus", "2xB200", NIM_MODEL_NAME=ULTRA, **planted)
    assert (done.returncode, "planted" in done.stdout + done.stderr) == (2, False)
    assert "http://****@h" in done.stderr
