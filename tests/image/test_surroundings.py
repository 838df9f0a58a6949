"""Containers with too little: directories, shared memory, memory; and the errors."""

import json
import re
from pathlib import Path

import yaml

from nim.data_paths import ROOT
from tests.image.container import CACHE, ENOUGH_SHM, HARDENED, once, volume
from tests.image.storage import Storage

DIRECTORY = "NIM_MODEL_PATH=/opt/nim/profiles/demo/model"


def test_a_cache_that_cannot_be_written(storage: Storage, tmp_path: Path) -> None:
    mount = volume(tmp_path / "cache", "0:0", "/model-store")
    (tmp_path / "cache").chmod(0o755)
    options = ["--user", "12345:0", *HARDENED, *ENOUGH_SHM, *mount, "--env", "NIM_CACHE_PATH=/model-store"]
    done = once(storage, options=options)
    assert done.returncode == 7
    assert 'cannot write in the cache directory "/model-store" (NIM_CACHE_PATH): Perm' in done.stderr
    assert "hint: chown -R 12345:0 '/model-store'" in done.stderr


def test_a_read_only_root_without_a_volume(storage: Storage) -> None:
    done = once(storage, options=["--user", "1000:1000", *HARDENED, *ENOUGH_SHM])
    assert done.returncode == 7
    assert f'"{CACHE}" (NIM_CACHE_PATH): Read-only file system' in done.stderr
    assert f"--volume nim-cache:'{CACHE}'" in done.stderr


def test_no_place_for_the_run_directory(storage: Storage) -> None:
    own = ("--tmpfs", f"{CACHE}:mode=1777", "--env", "NIM_RUN_DIR=/srv/nim")
    done = once(storage, options=["--user", "1000:1000", *HARDENED, *own, *ENOUGH_SHM])
    assert done.returncode == 7
    assert "cannot make the run directory" in done.stderr
    assert "NIM_RUN_DIR=" in done.stderr


def test_a_tmp_that_cannot_be_written(storage: Storage) -> None:
    """Although cache and run directory lie elsewhere."""
    hardened = [word for word in HARDENED if word not in ("--tmpfs", "/tmp")]
    elsewhere = [f"--tmpfs={place}:mode=1777" for place in (CACHE, "/run/nim")]
    own = (*elsewhere, "--env", "NIM_RUN_DIR=/run/nim/service")
    done = once(storage, options=["--user", "1000:1000", *hardened, *own, *ENOUGH_SHM])
    assert done.returncode == 7, done.stderr[-4000:]
    assert '"/tmp"' in done.stderr
    assert "--tmpfs /tmp" in done.stderr


def test_shared_memory_as_containers_have_it(storage: Storage) -> None:
    """64 MiB, in which vLLM 0.32 cannot start a worker: said at once, with the flag to add."""
    done = once(storage)
    assert done.returncode == 7
    assert re.search(r"/dev/shm has 6\d MiB free, and its workers need 241", done.stderr)
    assert "--shm-size=1g" in done.stderr


def test_shared_memory_that_cannot_be_written(storage: Storage, tmp_path: Path) -> None:
    """As kube play of podman 4.3 makes an emptyDir there: root's."""
    done = once(storage, options=volume(tmp_path / "shm", "0:0", "/dev/shm"))
    assert done.returncode == 7
    assert "user 1000:1000 cannot write in /dev/shm" in done.stderr


def test_the_memory_limit_is_what_counts(storage: Storage) -> None:
    """A model without a profile of its own: the cache is made to fit the container, not the machine."""
    done = once(
        storage,
        "plan",
        "--json",
        options=["--memory", "8g", "--env", DIRECTORY],
    )
    assert done.returncode == 0, done.stderr
    cache = json.loads(done.stdout)["config"]["VLLM_CPU_KVCACHE_SPACE"]
    assert cache["value"] == "2"
    assert cache["place"] == "half of what the weights leave of 8.0 GiB, the limit"


def test_the_memory_limit_is_enforced(storage: Storage) -> None:
    """By the kernel: otherwise nothing here would have been limited."""
    python = "/opt/nim/.venv/bin/python"
    done = once(storage, python, "-c", "b'x' * 2**29", options=["--memory", "256m", "--memory-swap", "256m"])
    assert done.returncode == 137


def test_too_small_a_memory_limit_is_refused(storage: Storage) -> None:
    done = once(storage, options=["--memory", "1g", *ENOUGH_SHM])
    assert done.returncode == 5, done.stderr
    assert "2.5 GB of the host's memory" in done.stderr


def test_a_model_without_a_compiler(storage: Storage) -> None:
    done = once(storage, "plan", "--json", options=["--env", DIRECTORY])
    config = json.loads(done.stdout)["config"]
    assert config["enforce_eager"]["place"] == "there is no C++ compiler, which compiling for a CPU needs"


def test_an_image_of_another_model(storage: Storage, tmp_path: Path) -> None:
    """Whatever manifest lies in the image's place for it is the default."""
    manifest = yaml.safe_load((ROOT / "profiles" / "demo.yaml").read_text())
    manifest["model"] |= {"name": "acme/other", "source": "/opt/nim/profiles/demo/model"}
    del manifest["model"]["license"]
    own = tmp_path / "manifest.yaml"
    own.write_text(yaml.safe_dump(manifest))
    own.chmod(0o644)
    place = "/opt/nim/etc/default/model_manifest.yaml"
    done = once(storage, "--dry-run", options=["--volume", f"{own}:{place}:ro"])
    assert done.returncode == 0, done.stderr
    assert "acme/other" in done.stdout
