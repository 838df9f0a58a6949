"""Any user without privileges, with only the cache and /tmp writable: start to stop with the real engine."""

import uuid
from pathlib import Path

import pytest

from tests.image.container import CACHE, ENOUGH_SHM, HARDENED, Container, once, running, volume
from tests.image.storage import Storage, run

USERS = ("1000:1000", "12345:0", "1000960000:1000960000")
FS_GROUP = ("--group-add", "2000")
LIVE = b'{"object":"health.response","message":"live","status":"live"}'
MESSAGES = [{"role": "user", "content": "Hello! How are you?"}]
QUESTION = {"model": "nim/demo", "max_tokens": 32, "messages": MESSAGES}
CAREFUL = (*HARDENED, *ENOUGH_SHM, "--memory", "6g")
# Of every process in the container.
CONFINED = {"CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"}


@pytest.mark.parametrize("user", USERS)
def test_anyone_is_served(storage: Storage, tmp_path: Path, user: str) -> None:
    """Hardened and with a memory limit; the last one is stopped by a preStop hook, the others by a signal."""
    mount = volume(tmp_path / "cache", user, CACHE)
    with running(storage, options=["--user", user, *CAREFUL, *mount]) as service:
        serves(service)
        if user == USERS[-1]:
            # With the service ends all that runs in its container, what waits for that end included.
            assert service.exec("nim", "drain").returncode in (0, 137)
            assert service.wait() in (0, 143)
        else:
            assert service.stop() in (0, 143), service.log()
    assert owners(tmp_path / "cache") == {tuple(map(int, user.split(":")))}


def test_a_volume_as_kubernetes_prepares_it(storage: Storage, tmp_path: Path) -> None:
    """With fsGroup: root's, writable by a group that the user is given beside its own."""
    mount = volume(tmp_path / "cache", "0:2000", CACHE, mode=0o2775)
    with running(storage, options=["--user", "1000:1000", *FS_GROUP, *CAREFUL, *mount]) as service:
        serves(service)
        assert service.stop() in (0, 143), service.log()
    assert owners(tmp_path / "cache") == {(1000, 2000)}


def serves(service: Container) -> None:
    """Check a start as this user without privileges, from live to an answer."""
    service.wait_live()
    assert service.get("/v1/health/live") == (200, LIVE)
    assert not service.healthy()
    config = service.json("/v1/metadata")["config"]
    assert config["HOME"]["value"] == f"{CACHE}/vllm/home"
    assert config["USER"]["value"] == "nim"
    service.wait_ready()
    assert service.healthy()
    answer = service.json("/v1/chat/completions", QUESTION)
    assert answer["choices"][0]["message"]["content"]
    asked = "|".join(line.partition(":")[0] for line in CONFINED)
    assert (
        set(service.exec("sh", "-c", f"grep -hE '^({asked}):' /proc/[0-9]*/status").stdout.splitlines())
        == CONFINED
    )
    refused = service.exec("touch", "/opt/nim/x", "/run/x", "/var/x").stderr
    assert refused.count("Read-only file system") == 3, refused
    assert service.exec("id", "-un").returncode == 1  # there is no such user


def owners(directory: Path) -> set[tuple[int, int]]:
    """Return users and groups of all files there."""
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in directory.rglob("*")}


def test_root_without_capabilities(storage: Storage, tmp_path: Path) -> None:
    """Not even root's usual rights over users and files."""
    mount = volume(tmp_path / "cache", "0:0", CACHE)
    with running(storage, options=["--user", "0:0", *CAREFUL, *mount]) as service:
        service.wait_live()
        assert service.get("/v1/health/live") == (200, LIVE)
        assert service.stop() in (0, 143), service.log()


def test_root_in_a_group_that_nginx_cannot_keep(storage: Storage) -> None:
    """Refused where it would fail; with the right to change groups it is none of our business."""
    user = ("--user", "0:12345", *ENOUGH_SHM, "--tmpfs", f"{CACHE}:mode=1777")
    done = once(storage, options=[*user, *HARDENED])
    assert done.returncode == 7
    assert "cannot start the gateway as user 0 with group 12345" in done.stderr
    assert "`--user 1000:12345`" in done.stderr
    with running(storage, options=user) as service:
        service.wait_live()


def test_a_named_volume(storage: Storage) -> None:
    """podman gives it the rights of the directory that it stands for: anybody's."""
    name = f"nim-{uuid.uuid4().hex[:12]}"
    try:
        with running(
            storage, options=["--user", "12345:0", *CAREFUL, "--volume", f"{name}:{CACHE}"]
        ) as service:
            service.wait_live()
            assert service.stop() in (0, 143), service.log()
    finally:
        run(*storage.podman, "volume", "rm", name)
