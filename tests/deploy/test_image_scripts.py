"""The image's scripts, run without an image, with programs that record how they were called."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nim import __version__
from tests.deploy.files import DEPLOY, ROOT

BUILD = DEPLOY / "image" / "build"
TOOLS = ("podman", "buildah", "docker")
# Programs that the scripts themselves use.
USED = ("bash", "env", "sed", "head", "dirname", "git", "tail", "echo")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a PATH with no builder in it."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in USED:
        found = next(Path(one, name) for one in ("/usr/bin", "/bin") if Path(one, name).exists())
        (place / name).symlink_to(found)
    return place


def tool(path: Path, name: str) -> None:
    """Write a program that prints its arguments, one per line."""
    program = path / name
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' {name} \"$@\"\n", encoding="utf-8")
    program.chmod(0o755)


def build(path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(path), **env}
    return subprocess.run(
        [str(BUILD)], env=env, capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )


def told(path: Path, **env: str) -> list[str]:
    done = build(path, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("first", TOOLS)
def test_an_image_is_built_by_the_first_tool_that_is_there(path: Path, first: str) -> None:
    for name in TOOLS[TOOLS.index(first) :]:
        tool(path, name)
    words = told(path)
    assert words[:2] == [first, "build"]
    # Docker writes its own format anyway, and does not know the option.
    assert ("--format" in words) == (first != "docker")
    assert words[-1] == "."
    assert words[words.index("--tag") + 1] == f"nim:{__version__}-cpu"


def test_a_build_gets_the_arguments_of_its_variables(path: Path, tmp_path: Path) -> None:
    tool(path, "docker")
    said = {"ENGINE": "gpu", "BASE": "a/base:1", "TAG": "mine:2", "MANIFEST": "llama-3.1-8b-instruct"}
    words = told(path, **said, PIP_CONF="/a b", BUILD_OPTIONS="--network host")
    arguments = dict(word.split("=", 1) for word in words if re.match(r"[A-Z]+=", word))
    assert arguments.items() >= {"BASE": "a/base:1", "ENGINE": "gpu", "VERSION": __version__}.items()
    assert arguments["MANIFEST"] == said["MANIFEST"]
    assert arguments["MODEL"] == "meta/llama-3.1-8b-instruct"
    assert words[words.index("--tag") + 1] == "mine:2"
    assert words[words.index("--secret") + 1] == "id=pip.conf,src=/a b"
    assert words[-3:] == ["--network", "host", "."]


def test_the_base_of_a_gpu_image_is_the_pinned_release(path: Path) -> None:
    tool(path, "docker")
    pinned = re.search(r'"vllm==(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pinned
    assert f"BASE=docker.io/vllm/vllm-openai:v{pinned[1]}" in told(path, ENGINE="gpu")
    assert pinned[1] in (ROOT / "Containerfile").read_text(encoding="utf-8").split("FROM")[0]


def test_a_builder_may_have_options_of_its_own(path: Path) -> None:
    tool(path, "podman")
    assert told(path, BUILDER="podman --root /x")[:4] == ["podman", "--root", "/x", "build"]


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "cannot build an image: there is no podman, buildah or docker"),
        ({"ENGINE": "tpu"}, "cannot build ENGINE 'tpu': there are cpu and gpu"),
        ({"MANIFEST": "none"}, "cannot use MANIFEST 'none': there is no profiles/none.yaml"),
    ],
)
def test_what_cannot_be_built_is_refused(path: Path, env: dict[str, str], said: str) -> None:
    done = build(path, **env)
    assert done.returncode == 7
    assert done.stderr.startswith(f"image: {said}\n  hint: ")


def test_nothing_is_bound_to_one_architecture() -> None:
    files = [ROOT / "Containerfile", *(one for one in (DEPLOY / "image").iterdir() if one.is_file())]
    for file in files:
        named = re.findall(r"(?i)x86|amd64|arm64|aarch64", file.read_text(encoding="utf-8"))
        assert not named, file.name


# The entry point: what stands after the image's name


@pytest.fixture(params=["dash", "bash", "busybox sh"])
def entry(request: pytest.FixtureRequest, path: Path, tmp_path: Path) -> list[str]:
    """Return the arguments that the entry point passes to `nim`, run by a shell that may be /bin/sh."""
    shell = str(request.param).split()
    found = next((Path(one, shell[0]) for one in ("/usr/bin", "/bin") if Path(one, shell[0]).exists()), None)
    if found is None:
        pytest.skip(f"there is no {request.param} here")
    tool(path, "nim")
    text = (DEPLOY / "image" / "start_server.sh").read_text(encoding="utf-8")
    script = tmp_path / "start_server.sh"
    script.write_text(text.replace("/opt/nim/bin/nim", str(path / "nim")), encoding="utf-8")
    return [str(found), *shell[1:], str(script)]


def entered(entry: list[str], path: Path, *words: str) -> list[str]:
    done = subprocess.run(
        [*entry, *words], env={"PATH": str(path)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_flags_models_and_verbs_are_the_launchers(entry: list[str], path: Path, tmp_path: Path) -> None:
    for words in ([], ["--max-num-seqs", "4"], [str(tmp_path), "-x"], ["plan"], ["serv"], ["/no/such/place"]):
        assert entered(entry, path, *words) == ["nim", *words]
    plain = tmp_path / "plain"
    plain.write_text("no program", encoding="utf-8")
    assert entered(entry, path, str(plain)) == ["nim", str(plain)]


def test_a_command_is_run_as_it_is(entry: list[str], path: Path) -> None:
    tool(path, "list-model-profiles")
    assert entered(entry, path, "list-model-profiles", "-h") == ["list-model-profiles", "-h"]
    assert entered(entry, path, str(path / "list-model-profiles")) == ["list-model-profiles"]
    # The shell has an `echo` of its own, which has no path.
    assert entered(entry, path, "echo", "a b") == ["a b"]


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_health_check_explains_itself(flag: str) -> None:
    script = DEPLOY / "image" / "healthcheck"
    done = subprocess.run(
        [sys.executable, "-ISB", str(script), flag], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: healthcheck")


def test_the_health_check_asks(tmp_path: Path) -> None:
    script = DEPLOY / "image" / "healthcheck"
    command = [sys.executable, "-ISB", str(script)]
    env = os.environ | {"NIM_HEALTH_PORT": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout[:24]) == (1, "cannot reach port 1: [Er")
