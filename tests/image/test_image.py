"""The image as it lies there: what it says of itself, what is in it, and what was left out."""

import json
from typing import Any

import pytest
import yaml

from nim import __version__
from nim.paths import ROOT
from tests.image.container import once
from tests.image.storage import IMAGE, Storage, run

BUILD_TOOLS = ("cc", "gcc", "g++", "c++", "make", "git", "uv", "pip", "pip3")
SMALL_BYTES = 40 * 1024**2


@pytest.fixture(scope="module")
def config(storage: Storage) -> Any:
    (image,) = json.loads(run(*storage.podman, "image", "inspect", IMAGE))
    return {**image["Config"], "Healthcheck": image["Healthcheck"]}


def inside(storage: Storage, script: str) -> str:
    done = once(storage, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_labels(config: Any) -> None:
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == labels["com.nvidia.nim.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["com.nvidia.nim.model"] == "nim/demo"
    # Its absence means that the image has a manifest and lists profiles.
    assert "com.nvidia.nim.model_download_protocol" not in labels


def test_how_it_is_started_stopped_and_asked(config: Any) -> None:
    assert config["Entrypoint"] == ["/opt/nim/start_server.sh"]
    assert not config.get("Cmd")
    assert config["StopSignal"] in ("SIGTERM", "15")
    assert config["Healthcheck"]["Test"] == ["CMD", "healthcheck"]
    assert config["User"] == "1000:1000"  # numbers, so that a cluster sees that it is not root
    assert "8000/tcp" in config["ExposedPorts"]


def test_nothing_of_the_build_is_in_its_environment(config: Any) -> None:
    names = {word.partition("=")[0] for word in config["Env"]}
    assert names == {"HOME", "PATH", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"} | (names & {"container"})


def test_layers_above_the_engine_are_small(storage: Storage) -> None:
    layers = json.loads(run(*storage.podman, "history", "--format", "json", IMAGE))
    sizes = [layer["size"] for layer in layers]  # the newest first
    assert 0 < sum(sizes[: sizes.index(max(sizes))]) < SMALL_BYTES


def test_the_manifest_where_operators_look_for_it(storage: Storage) -> None:
    printed = inside(storage, "cat /opt/nim/etc/default/model_manifest.yaml")
    assert yaml.safe_load(printed) == yaml.safe_load((ROOT / "profiles" / "demo.yaml").read_text())


def test_the_license(storage: Storage) -> None:
    assert inside(storage, "cat /opt/nim/LICENSE") == (ROOT / "LICENSE").read_text()


def test_no_build_tools_and_nothing_lent(storage: Storage) -> None:
    found = inside(storage, f"for tool in {' '.join(BUILD_TOOLS)}; do command -v $tool; done; true")
    assert found == ""
    places = ("/root/.cache", "/run/secrets", "/tmp", "/var/cache/apt/archives", "/var/lib/apt/lists")
    left = inside(storage, f"find {' '.join(places)} -type f 2>/dev/null; find / -xdev -name pip.conf; true")
    assert left == ""


def test_every_package_has_the_pinned_version(storage: Storage) -> None:
    pinned = (ROOT / "deploy" / "image" / "constraints-cpu.txt").read_text()
    known = {line.lower().replace("_", "-") for line in pinned.splitlines() if "==" in line}
    code = (
        "import importlib.metadata as m; "
        "print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
    )
    listed = once(storage, "/opt/nim/.venv/bin/python", "-I", "-c", code).stdout.split()
    installed = {line.lower().replace("_", "-").partition("+")[0] for line in listed}
    assert len(installed) > 50
    assert installed <= known


def test_the_launcher_is_found_by_an_isolated_python_from_anywhere(storage: Storage) -> None:
    done = once(
        storage, "/opt/nim/.venv/bin/python", "-I", "-m", "nim", "--version", options=["--workdir", "/"]
    )
    assert (done.returncode, done.stdout.strip()) == (0, __version__), done.stderr
