"""Any user, nothing allowed, nothing writable but the cache and /tmp: the real engine, from start to stop."""

import json
import re
from pathlib import Path

import pytest
import yaml

from nim.paths import ROOT
from tests.image.container import ENOUGH_SHM, HARDENED, once, running, volume
from tests.image.storage import Storage

USERS = ("1000:1000", "12345:0", "1000960000:1000960000")
CACHE = "/opt/nim/.cache"
LIVE = b'{"object":"health.response","message":"live","status":"live"}'
MESSAGES = [{"role": "user", "content": "Hello! How are you?"}]
QUESTION = {"model": "nim/demo", "max_tokens": 32, "messages": MESSAGES}
DIRECTORY = "NIM_MODEL_PATH=/opt/nim/profiles/demo/model"


@pytest.mark.parametrize("user", USERS)
def test_anyone_is_served(storage: Storage, tmp_path: Path, user: str) -> None:
    """Hardened and with a memory limit; the last one is stopped by a preStop hook, the others by a signal."""
    mount = volume(tmp_path / "cache", user, CACHE)
    options = ["--user", user, *HARDENED, *ENOUGH_SHM, "--memory", "6g", *mount]
    with running(storage, options=options) as service:
        service.wait_live()
        assert service.get("/v1/health/live") == (200, LIVE)
        config = service.json("/v1/metadata")["config"]
        assert config["HOME"]["value"] == f"{CACHE}/vllm/home"
        assert config["USER"]["value"] == "nim"
        service.wait_ready()
        assert service.exec("healthcheck").returncode == 0
        answer = service.json("/v1/chat/completions", QUESTION)
        assert answer["choices"][0]["message"]["content"]
        if user == USERS[-1]:
            # With the service ends all that runs in its container, what waits for that end included.
            assert service.exec("nim", "drain").returncode in (0, 137)
            assert service.wait() in (0, 143)
        else:
            assert service.stop() in (0, 143), service.log()
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in (tmp_path / "cache").rglob("*")}
    assert owners == {tuple(map(int, user.split(":")))}


def test_killed_and_started_again_on_the_same_cache(storage: Storage, tmp_path: Path) -> None:
    """With a root file system of its own, too: what the killed one left in /tmp is in nobody's way."""
    mount = volume(tmp_path / "cache", "1000:1000", CACHE)
    with running(storage, options=[*ENOUGH_SHM, *mount]) as service:
        service.wait_live()
        assert service.kill() == 137
        service.start_again().wait_live()
        service.wait_ready()
        assert service.json("/v1/models")["data"][0]["id"] == "nim/demo"
        assert service.kill() == 137
        service.start_again().wait_live()
        assert service.stop() in (0, 143), service.log()


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
    hardened = [word for word in HARDENED if word not in ("--tmpfs", "/tmp")]
    done = once(
        storage, options=["--user", "1000:1000", *hardened, *ENOUGH_SHM, "--tmpfs", f"{CACHE}:mode=1777"]
    )
    assert done.returncode == 7
    assert "cannot make the run directory" in done.stderr
    assert "NIM_RUN_DIR=" in done.stderr


def test_shared_memory_as_containers_have_it(storage: Storage) -> None:
    """64 MiB, in which vLLM 0.32 cannot start a worker: said at once, with the flag to add."""
    done = once(storage)
    assert done.returncode == 7
    assert re.search(r"/dev/shm has 6\d MiB free, and its workers need 241", done.stderr)
    assert "--shm-size=1g" in done.stderr


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
