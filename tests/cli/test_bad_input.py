"""Bad input: a clear error at once, the right exit code, and nothing half-started."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway.nginx import free_port

ROOT = Path(__file__).resolve().parents[2]
GOOD_MANIFEST = """\
schema_version: 2.0.0
model: {name: test/model, source: model}
profiles:
  - id: "0000000000000000000000000000000000000000000000000000000000000000"
    tags: {llm_engine: vllm, precision: bf16, tp: "1", pp: "1", gpu: cpu}
"""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """How a start ended."""

    code: int
    text: str
    run_dir: Path

    def nothing_started(self) -> bool:
        """Return no process can have begun without a plan, and nobody listens without a socket."""
        return not any(self.run_dir.glob("*.sock")) and not (self.run_dir / "plan.json").exists()


Serve = Callable[..., Refused]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Return a function that runs `nim serve` with these variables until it ends by itself."""

    def run(*arguments: str, program: list[str] | None = None, **env: str) -> Refused:
        run_dir = Path(env.setdefault("NIM_RUN_DIR", str(tmp_path / "run")))
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("NIM_", "VLLM_"))}
        done = subprocess.run(
            [*(program or [sys.executable, "-m", "nim"]), "serve", *arguments],
            env={**clean, "NIM_SERVER_PORT": str(free_port()), **env},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Refused(code=done.returncode, text=done.stderr, run_dir=run_dir)

    return run


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        yield int(holder.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["NIM_SERVER_PORT", "NIM_HEALTH_PORT", "NIM_BACKEND_PORT"])
def test_a_port_that_is_taken_is_named_with_the_variable_that_moves_it(
    serve: Serve, taken_port: int, name: str
) -> None:
    refused = serve(**{name: str(taken_port)})
    assert refused.code == 7
    assert str(taken_port) in refused.text
    assert name in refused.text
    assert refused.nothing_started()


def test_a_form_of_the_log_that_is_none_is_refused_in_plain_text(serve: Serve) -> None:
    refused = serve(NIM_JSONL_LOGGING="maybe")
    assert refused.code == 2
    assert refused.text.startswith("nim: cannot use NIM_JSONL_LOGGING 'maybe'")


def test_a_port_that_is_no_number(serve: Serve) -> None:
    refused = serve(NIM_SERVER_PORT="abc")
    assert refused.code == 2
    assert refused.text.startswith("nim: cannot use NIM_SERVER_PORT 'abc' (from the environment)")
    assert not refused.run_dir.exists()


def test_one_port_for_the_server_and_the_engine(serve: Serve) -> None:
    port = str(free_port())
    refused = serve(NIM_SERVER_PORT=port, NIM_BACKEND_PORT=port)
    assert refused.code == 2
    assert "NIM_SERVER_PORT is the same port" in refused.text
    assert refused.nothing_started()


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"])
def test_a_gpu_that_is_not_there(serve: Serve, name: str) -> None:
    refused = serve(**{name: "GPU-nowhere"})
    assert refused.code == 4
    assert f'cannot use {name} "GPU-nowhere": "GPU-nowhere" names no device that is visible' in refused.text
    assert "hint: " in refused.text
    assert refused.nothing_started()


def test_a_model_directory_that_is_not_there(serve: Serve, tmp_path: Path) -> None:
    refused = serve(NIM_MODEL_PATH=str(tmp_path / "nowhere"))
    assert refused.code == 6
    assert "there is no such directory" in refused.text
    assert "NIM_MODEL_PATH" in refused.text
    assert not refused.run_dir.exists()


def test_a_model_directory_without_a_model(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused = serve(str(tmp_path / "empty"))
    assert refused.code == 6
    assert "it has no config.json" in refused.text
    assert "the command line" in refused.text


def test_a_source_that_is_not_supported(serve: Serve) -> None:
    refused = serve(NIM_MODEL_PATH="oss://bucket/model")
    assert refused.code == 2
    assert "oss://" in refused.text
    refused = serve(NIM_MODEL_PATH="ngc://org/model")
    assert refused.code == 2
    assert "expected ngc://ORG[/TEAM]/MODEL:VERSION" in refused.text


def test_an_unknown_model_shows_the_nearest(serve: Serve) -> None:
    refused = serve(NIM_MODEL_NAME="meta/llama-3.1-8b-instuct")
    assert refused.code == 3
    assert "meta/llama-3.1-8b-instruct" in refused.text


def test_an_unknown_profile_shows_the_nearest(serve: Serve) -> None:
    refused = serve(NIM_MODEL_PROFILE="vllm-cpu-bf16-tp1-pp2")
    assert refused.code == 5
    assert "vllm-cpu-bf16-tp1-pp1" in refused.text


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("model: {", "schema_version: 2.0.0\nmodel: {"), 2, "schema_version"),
        (("model: {name: test/model,", "model: {nam: test/model,"), 2, "nam"),
        (('tp: "1"', "tp: 1"), 5, "tp"),
        (("profiles:", "profiles: 3\nx:"), 3, "profiles"),
        (("profiles:", "profiles: ["), None, "cannot read"),
    ],
    ids=["duplicate key", "unknown field", "wrong type in tags", "wrong type", "not YAML"],
)
def test_a_bad_manifest_is_shown_with_file_and_line(
    serve: Serve, tmp_path: Path, change: tuple[str, str], line: int | None, words: str
) -> None:
    manifest = tmp_path / "manifest.yaml"
    text = GOOD_MANIFEST.replace(*change, 1)
    assert text != GOOD_MANIFEST
    manifest.write_text(text)
    refused = serve(NIM_MANIFEST_PATH=str(manifest))
    assert refused.code == 3
    assert f"{manifest}:{line}" in refused.text if line else str(manifest) in refused.text
    assert words in refused.text


def test_a_manifest_that_is_not_there(serve: Serve, tmp_path: Path) -> None:
    refused = serve(NIM_MANIFEST_PATH=str(tmp_path / "none.yaml"))
    assert refused.code == 3
    assert "none.yaml" in refused.text


def test_unbalanced_quotes_in_the_passthrough(serve: Serve) -> None:
    refused = serve(NIM_PASSTHROUGH_ARGS="--chat-template 'x")
    assert refused.code == 2
    assert "NIM_PASSTHROUGH_ARGS" in refused.text
    assert refused.nothing_started()


def test_a_flag_that_the_engine_does_not_have(serve: Serve) -> None:
    refused = serve("--max-model-lenn", "8")
    assert refused.code == 2
    assert "--max-model-len" in refused.text


def test_a_chat_template_that_is_nowhere(serve: Serve) -> None:
    refused = serve(NIM_CHAT_TEMPLATE="tools.jinja")
    assert refused.code == 2
    assert 'cannot find the file "tools.jinja" for --chat-template (NIM_CHAT_TEMPLATE)' in refused.text
    assert "profiles/demo/model/tools.jinja" in refused.text
    assert "hint: " in refused.text
    assert refused.nothing_started()


def test_a_run_directory_that_cannot_be_written(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = serve(NIM_RUN_DIR=str(tmp_path / "file" / "run"))
    assert refused.code == 7
    assert str(tmp_path / "file") in refused.text


@pytest.mark.skipif(os.geteuid() != 0, reason="hiding nginx needs a mount")
def test_nginx_is_not_installed(serve: Serve, tmp_path: Path) -> None:
    # In a mount namespace of its own, a file that cannot be run lies over nginx.
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    (tmp_path / "nothing").write_text("")
    hide = [
        "unshare",
        "-m",
        "sh",
        "-c",
        'mount --bind "$0" "$1" && shift && exec "$@"',
        str(tmp_path / "nothing"),
    ]
    refused = serve(program=[*hide, nginx, sys.executable, "-m", "nim"])
    assert refused.code == 7
    assert "nginx" in refused.text
    assert "apt-get install" in refused.text
    assert refused.nothing_started()


def test_vllm_is_not_installed(serve: Serve, tmp_path: Path) -> None:
    # The same Python with everything that is installed but vLLM.
    packages = Path(next(path for path in sys.path if path.endswith("site-packages")))
    for entry in packages.iterdir():
        if not entry.name.startswith(("vllm", "nim", "__editable__")):
            (tmp_path / entry.name).symlink_to(entry)
    places = [str(ROOT), str(tmp_path)]
    script = f"import sys; sys.path[:0] = {places}; import nim.cli; sys.exit(nim.cli.main())"
    refused = serve(program=[sys.executable, "-I", "-S", "-c", script])
    assert refused.code == 7
    assert "vLLM is not installed" in refused.text
    assert refused.nothing_started()


def test_an_unknown_verb_shows_the_nearest() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nim", "profils"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "profiles" in done.stderr
