"""Arguments after the image's name: none, flags, a subcommand, a command of NIM's, another command."""

import pytest

from nim import __version__
from nim.cli.main import ABSENT, ALIASES, VERBS
from tests.image.container import once
from tests.image.storage import Storage


@pytest.mark.parametrize("command", [[], ["nim"], *([verb] for verb in VERBS), *([name] for name in ALIASES)])
def test_each_explains_itself(storage: Storage, command: list[str]) -> None:
    done = once(storage, *command, "-h")
    assert done.returncode == 0, done.stderr
    assert "usage: nim" in done.stdout


@pytest.mark.parametrize("name", ABSENT)
def test_missing_pages_answer_404(storage: Storage, name: str) -> None:
    done = once(storage, name, "--all")
    assert done.returncode == 2
    assert done.stderr.startswith(f"nim: cannot run '{name}': this release does not have it\n  hint: ")


@pytest.mark.parametrize("command", [[], ["nim-serve"], ["nim", "serve"]])
def test_flags_go_to_the_engine(storage: Storage, command: list[str]) -> None:
    done = once(storage, *command, "--dry-run", "--max-num-seqs", "7")
    assert done.returncode == 0, done.stderr
    assert "--max-num-seqs 7" in done.stdout
    assert "vllm-cpu-bf16-tp1-pp1" in done.stdout


def test_a_wrong_flag_is_an_error_at_once(storage: Storage) -> None:
    done = once(storage, "--max-num-seq", "7")
    assert done.returncode == 2
    assert "--max-num-seqs" in done.stderr


def test_a_directory_is_a_model(storage: Storage) -> None:
    done = once(storage, "/opt/nim/profiles/demo/model", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "/opt/nim/profiles/demo/model" in done.stdout


def test_profiles_as_nim_lists_them(storage: Storage) -> None:
    done = once(storage, "list-model-profiles")
    assert done.returncode == 0, done.stderr
    assert "92e9c2387a3187102e4b8c7b2bf06ef19dcfa103dba256eebf66b3eeecc1f25a" in done.stdout


def test_a_job_that_names_the_command_alone(storage: Storage) -> None:
    """A cluster's `command:` replaces the entry point: the command must be on PATH."""
    done = once(storage, options=["--entrypoint", '["list-model-profiles"]'])
    assert (done.returncode, "vllm-cpu-bf16" in done.stdout) == (0, True), done.stderr


def test_a_job_that_fills_the_cache(storage: Storage) -> None:
    done = once(storage, options=["--entrypoint", '["download-to-cache"]'])
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("/profiles/demo/model: a directory, nothing is to be fetched\n")


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell(storage: Storage, shell: str) -> None:
    done = once(storage, shell, "-c", "nim --version; exit 3")
    assert (done.returncode, done.stdout.strip()) == (3, __version__)


def test_a_command_that_shells_have_built_in(storage: Storage) -> None:
    done = once(storage, "echo", "hi")
    assert (done.returncode, done.stdout) == (0, "hi\n"), done.stderr


def test_a_word_that_is_nothing(storage: Storage) -> None:
    done = once(storage, "serv")
    assert done.returncode == 2
    assert "cannot run 'serv': there is no such verb" in done.stderr


@pytest.mark.parametrize(
    ("env", "port"),
    [
        ((), 8000),
        (("NIM_HTTP_API_PORT=8100",), 8100),
        (("NIM_HTTP_API_PORT=8100", "NIM_SERVER_PORT=8200"), 8200),
        (("NIM_SERVER_PORT=8200", "NIM_HEALTH_PORT=8300"), 8300),
    ],
)
def test_no_container_is_healthy_without_a_service(storage: Storage, env: tuple[str, ...], port: int) -> None:
    done = once(storage, "healthcheck", options=[f"--env={one}" for one in env])
    assert done.returncode == 1
    assert done.stdout.startswith(f"cannot reach port {port}: ")
