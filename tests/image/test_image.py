"""The content of the image: labels, files, and what is left out."""

import json
import re
from typing import Any

import pytest
import yaml

from nim import __version__
from nim.data_paths import ROOT
from tests.image.container import once
from tests.image.storage import IMAGE, Storage, run

COMPILERS = ("cc", "gcc", "g++", "c++", "clang", "ld", "as")
BUILD_TOOLS = (*COMPILERS, "make", "cmake", "ninja", "git", "uv", "pip", "pip3")
OCI, NIM = "org.opencontainers.image", "com.nvidia.nim"
MIB = 1024**2


@pytest.fixture(scope="module")
def config(storage: Storage) -> Any:
    (image,) = json.loads(run(*storage.podman, "image", "inspect", IMAGE))
    return {**image["Config"], "Healthcheck": image["Healthcheck"]}


def inside(storage: Storage, script: str) -> str:
    done = once(storage, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_labels(config: Any) -> None:
    """All of them. Without one of the download protocol: so operators know that there is a manifest."""
    text = "An open inference microservice: nginx, a supervised vLLM, and a launcher that explains itself"
    labels = {name: value for name, value in config["Labels"].items() if not name.startswith("io.buildah.")}
    # Somebody may have committed since the build began.
    run("git", "-C", str(ROOT), "merge-base", "--is-ancestor", labels.pop(f"{OCI}.revision"), "HEAD")
    assert labels == {
        f"{OCI}.title": "nim",
        f"{OCI}.description": text,
        f"{OCI}.licenses": "Apache-2.0",
        f"{OCI}.version": __version__,
        f"{NIM}.name": "nim",
        f"{NIM}.version": __version__,
        f"{NIM}.type": "llm",
        f"{NIM}.category": "llm",
        f"{NIM}.model": "nim/demo",
        f"{NIM}.inference_protocol": "http",
    }


def test_how_it_is_started_stopped_and_asked(config: Any) -> None:
    assert config["Entrypoint"] == ["/opt/nim/start_server.sh"]
    assert not config.get("Cmd")
    assert config["StopSignal"] in ("SIGTERM", "15")
    assert config["User"] == "1000:1000"  # numbers, so that a cluster sees that it is not root
    assert config["WorkingDir"] == "/opt/nim"
    assert list(config["ExposedPorts"]) == ["8000/tcp"]
    seconds = {"StartPeriod": 7200, "Interval": 15, "Timeout": 3}
    health = {name: value * 10**9 for name, value in seconds.items()}
    assert config["Healthcheck"] == {"Test": ["CMD", "healthcheck"], "Retries": 3, **health}


def test_nothing_of_the_build_is_in_its_environment(config: Any) -> None:
    names = {word.partition("=")[0] for word in config["Env"]}
    assert names == {"HOME", "PATH", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"} | (names & {"container"})


def test_layers(storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    """The engine's is the largest; what is above it is ours, what is below came from the distribution."""
    layers = json.loads(run(*storage.podman, "history", "--format", "json", IMAGE))[::-1]
    (_, _), *ours = [(layer["size"], layer["CreatedBy"]) for layer in layers if layer["size"] > MIB // 100]
    engine = max(ours)
    with capsys.disabled():
        print(
            "\nlayers above the base:", *(f"{size / MIB:8.1f} MiB  {by[:90]}" for size, by in ours), sep="\n"
        )
    below, above = ours[: ours.index(engine)], ours[ours.index(engine) + 1 :]
    assert 0 < sum(size for size, _ in below) < 80 * MIB
    assert 0 < sum(size for size, _ in above) < 20 * MIB


def test_the_manifest_is_where_operators_expect_it(storage: Storage) -> None:
    printed = inside(storage, "cat /opt/nim/etc/default/model_manifest.yaml")
    assert yaml.safe_load(printed) == yaml.safe_load((ROOT / "profiles" / "demo.yaml").read_text())


def test_the_license(storage: Storage) -> None:
    assert inside(storage, "cat /opt/nim/LICENSE") == (ROOT / "LICENSE").read_text()


def test_the_layout(storage: Storage) -> None:
    listed = (
        "start_server.sh entrypoint.sh etc/default/model_manifest.yaml LICENSE .cache bin profiles nginx nim"
    )
    inside(storage, f"cd /opt/nim && ls -d {listed}")
    assert inside(storage, "stat -c %a /opt/nim/.cache") == "1777\n"


def test_no_build_tools_and_nothing_lent(storage: Storage) -> None:
    found = inside(storage, f"for tool in {' '.join(BUILD_TOOLS)}; do command -v $tool; done; true")
    assert found == ""
    assert inside(storage, "find / -xdev -name ninja -o -xdev -path /opt/nim/build 2>/dev/null; true") == ""
    places = ("/root/.cache", "/run/secrets", "/tmp", "/var/cache/apt/archives", "/var/lib/apt/lists")
    left = inside(storage, f"find {' '.join(places)} -type f 2>/dev/null; find / -xdev -name pip.conf; true")
    assert left == ""


def test_every_package_has_the_pinned_version(storage: Storage) -> None:
    pinned = re.findall(r"^[^ #].*?==[^ +]+", (ROOT / "locks" / "cpu.txt").read_text(), re.MULTILINE)
    known = {line.lower().replace("_", "-") for line in pinned}
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
