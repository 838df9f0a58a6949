"""The files for Compose and podman, checked by those programs if installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY

# systemd runs podman's generator; it is not on anyone's PATH.
QUADLET = "/usr/libexec/podman:/usr/lib/podman:/usr/local/libexec/podman"


def compose() -> list[str]:
    """Return the command that reads Compose files."""
    if shutil.which("docker"):
        docker = subprocess.run(
            ["docker", "compose", "version"], capture_output=True, timeout=30, check=False
        )
        if docker.returncode == 0:
            return ["docker", "compose"]
    if program := shutil.which("docker-compose"):
        return [program]
    pytest.skip("the Compose file was not read by Compose: there is none here")


@pytest.mark.parametrize("profiles", [[], ["--profile", "gpu"]], ids=["demo", "gpu"])
def test_compose_reads_its_file(profiles: list[str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hf_x", encoding="utf-8")
    command = [*compose(), "--file", str(DEPLOY / "compose.yaml"), *profiles, "config"]
    env = {"HF_TOKEN_FILE": str(token), "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "stop_grace_period" in done.stdout
    assert ("NIM_MODEL_NAME" in done.stdout) >= bool(profiles)


def test_the_quadlet_generator_makes_a_unit(tmp_path: Path) -> None:
    generator = shutil.which("quadlet", path=QUADLET)
    if generator is None:
        pytest.skip("the quadlet was not read by podman's generator: this podman has none (4.4 brings it)")
    shutil.copy(DEPLOY / "nim-llm.container", tmp_path)
    done = subprocess.run(
        [generator, "-dryrun", "-user"],
        env={"QUADLET_UNIT_DIRS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    unit = done.stdout
    for words in ("--read-only", "--cap-drop", "no-new-privileges", "--stop-timeout=125", "--user"):
        assert words in unit
