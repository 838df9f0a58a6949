"""An unwritable cache is found before anything starts, and the error names the remedy."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nim.errors import PreflightError
from nim.plan import Plan
from nim.preflight.check_directories import check_directories
from tests.process.plans import make_plan

SOMEBODY = 12345


def with_env(directory: Path, **env: str) -> Plan:
    plan = make_plan(directory)
    return replace(plan, engine=replace(plan.engine, env=env))


def test_directories_are_made_and_nothing_is_left_in_them(directory: Path) -> None:
    plan = with_env(directory, VLLM_CACHE_ROOT=f"{directory}/cache/vllm", HOME=f"{directory}/cache/vllm/home")
    check_directories(plan, {})
    check_directories(plan, {})
    assert sorted(str(path.relative_to(directory)) for path in directory.rglob("*")) == [
        "cache",
        "cache/vllm",
        "cache/vllm/home",
    ]


def test_downloads_may_be_read_only_where_nothing_is_fetched(directory: Path) -> None:
    (directory / "cache").write_text("in the way")
    check_directories(with_env(directory, HF_HUB_OFFLINE="1", VLLM_CACHE_ROOT=f"{directory}/kernels"), {})
    with pytest.raises(PreflightError, match=r"cannot write in the cache directory .*\(NIM_CACHE_PATH\)"):
        check_directories(with_env(directory, VLLM_CACHE_ROOT=f"{directory}/kernels"), {})


def test_kernels_have_a_variable_of_their_own(directory: Path) -> None:
    (directory / "kernels").write_text("in the way")
    plan = with_env(directory, VLLM_CACHE_ROOT=f"{directory}/kernels")
    with pytest.raises(PreflightError, match=r"kernels\" \(NIM_RUNTIME_CACHE_PATH\): File exists"):
        check_directories(plan, {})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_elses_directory(directory: Path) -> None:
    """Who owns it, who we are, and the command: in a process of its own, which gives up its rights."""
    directory.chmod(0o755)
    (directory / "cache").mkdir(mode=0o755)
    plan = make_plan(directory)
    code = (
        "import os, sys\n"
        "from nim.errors import PreflightError\n"
        "from nim.plan import Plan\n"
        "from nim.preflight.check_directories import check_directories\n"
        f"os.setgid({SOMEBODY}); os.setuid({SOMEBODY})\n"
        "try: check_directories(Plan.from_json(sys.stdin.read()), {})\n"
        "except PreflightError as refusal: print(refusal)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=plan.to_json(), capture_output=True, text=True, check=True
    )
    message, hint = done.stdout.splitlines()
    me = f"{SOMEBODY}:{SOMEBODY}"
    cache = directory / "cache"
    assert message.startswith(f'cannot write in the cache directory "{cache}" (NIM_CACHE_PATH): Permission')
    assert message.endswith(f'"{cache}" belongs to 0:0 (mode 755), and this is user {me}')
    assert hint.startswith(f"  hint: chown -R {me} '{cache}' (in Kubernetes fsGroup: {SOMEBODY})")


def test_temporary_files_need_a_place(directory: Path) -> None:
    (directory / "tmp").write_text("in the way")
    with pytest.raises(PreflightError) as refused:
        check_directories(make_plan(directory), {"TMPDIR": f"{directory}/tmp"})
    words = f'cannot write in the directory for temporary files "{directory}/tmp" (TMPDIR): File exists'
    assert refused.value.message == words
    check_directories(make_plan(directory), {"TMPDIR": f"{directory}/elsewhere"})
    check_directories(with_env(directory, TMPDIR=f"{directory}/elsewhere"), {"TMPDIR": f"{directory}/tmp"})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize("variable", ["TMPDIR", "NIM_CACHE_PATH"])
def test_a_read_only_place_is_named_with_what_mounts_one(directory: Path, variable: str) -> None:
    """As in a container with a read-only root: a start in a mount namespace of its own."""
    place = directory / "read-only"
    place.mkdir()
    script = 'mount -t tmpfs -o ro tmpfs "$1" || exit 77; exec "$2" -m nim serve'
    env = {"NIM_ENGINE_COMMAND": "true", "NIM_CACHE_PATH": f"{directory}/cache", variable: str(place)}
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(place), sys.executable]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert f'"{place}" ({variable}): Read-only file system' in done.stderr
    mount = "--tmpfs {}, in Kubernetes an emptyDir" if variable == "TMPDIR" else "--volume nim-cache:'{}'"
    assert f"hint: mount something writable there ({mount.format(place)}), or {variable}=…" in done.stderr
    assert done.returncode == 7
