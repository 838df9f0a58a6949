"""Random faults behind a proxy under load: each request is whole, or its error is honest; all comes back.

SOAK_SEED chooses the faults and their moments, SOAK_ROUNDS how many there are, SOAK_FAULT plays only the
faults whose name has this.
"""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fakes.launch import wait_until
from tests.proxy_soak.clients import WHOLE, Clients
from tests.proxy_soak.faults import Fault, Scene, draw

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]
SEED = int(os.environ.get("SOAK_SEED", "1"))
ROUNDS = int(os.environ.get("SOAK_ROUNDS", "200"))


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Yield a scene whose directory has a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="nim-soak-") as path:
        scene = Scene(Path(path), Random(SEED))
        try:
            yield scene
        finally:
            scene.close()


def test_a_proxy_under_faults(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.wait_for(*scene.replicas)
    clients = Clients(scene.proxy, SEED)
    failed: list[str] = []
    try:
        for number, fault in enumerate(draw(Random(SEED), ROUNDS, os.environ.get("SOAK_FAULT", "")), 1):
            line, good = play(scene, clients, fault)
            with capsys.disabled():
                print(f"{'' if number > 1 else chr(10)}{number:4} {line}", flush=True)
            if not good:
                failed.append(f"{number} {line}")
    except AssertionError as error:
        raise AssertionError(f"{fault.name}: {error}\n{scene.state()}") from error
    finally:
        clients.stop()
    received = Counter(name for one in (*scene.replicas, scene.spare) for name in one.requests())
    assert not failed, "\n".join([*failed, *clients.wrong, *scene.proxy.lines[-20:]])
    assert received.total() > ROUNDS
    assert [name for name, times in received.items() if times > 1] == []  # nothing is sent twice
    assert scene.close() == 0, scene.proxy.text


def play(scene: Scene, clients: Clients, fault: Fault) -> tuple[str, bool]:
    """Return (what happened in a round, whether it was as it must be)."""
    before, began = len(clients.wrong), time.monotonic()
    clients.open()
    time.sleep(scene.rng.uniform(0.1, 0.6))
    fault.play(scene)
    scene.wait_for(*scene.replicas)
    time.sleep(0.2)
    outcomes = clients.pause()
    wait_until(scene.idle, "no request that is counted as running")
    said = ", ".join(f"{outcomes[name]} {name}" for name in sorted(outcomes))
    good = set(outcomes) <= {WHOLE, *fault.excuses} and outcomes[WHOLE] > 0
    line = f"{fault.name}: {said} ({time.monotonic() - began:.1f} s)"
    return line, good and len(clients.wrong) == before
