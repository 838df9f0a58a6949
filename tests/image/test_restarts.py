"""The image killed, stopped and restarted on the same cache, with the real engine."""

import json
from pathlib import Path

from tests.image.container import CACHE, ENOUGH_SHM, Container, running, volume
from tests.image.storage import Storage


def test_killed_stopped_and_started_again_on_the_same_cache(storage: Storage, tmp_path: Path) -> None:
    """With a root file system of its own, too: what the killed one left in /tmp is in nobody's way."""
    options = [*ENOUGH_SHM, *volume(tmp_path / "cache", "1000:1000", CACHE)]
    with running(storage, options=options) as service:
        assert first_told(service.wait_live()) is None
        assert service.kill() == 137
        service.start_again().wait_ready()
        assert service.json("/v1/models")["data"][0]["id"] == "nim/demo"
        assert service.kill() == 137
        service.start_again().wait_live()
        assert service.stop() in (0, 143), service.log()
        service.start_again().wait_ready()
        assert service.stop() in (0, 143), service.log()
    with running(storage, options=options) as another:
        assert first_told(another.wait_live())
        another.wait_ready()
        assert another.stop() in (0, 143), another.log()


def first_told(service: Container) -> float | None:
    """Return the first ETA in seconds, requested once while not ready; None without one."""
    status, answer = service.get("/v1/health/ready")
    assert status == 503
    eta: float | None = json.loads(answer)["eta_seconds"]
    return eta
