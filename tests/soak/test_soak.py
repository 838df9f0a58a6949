"""Random faults under load: the service recovers or ends with the right code; no answer is wrong.

`make soak`. SOAK_SEED chooses the faults and their moments, SOAK_ROUNDS and SOAK_REAL_ROUNDS how many there
are; SOAK_ONLY repeats one round of a seed, SOAK_FAULT plays only the faults whose name has this.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from nim.supervision.supervisord.start_supervisord import adopt_orphans
from tests.soak.kinds import FAKE, REAL, Kind
from tests.soak.ledger import Ledger
from tests.soak.rounds import Rounds
from tests.soak.schedule import draw
from tests.soak.stage import Stage

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]
SEED = int(os.environ.get("SOAK_SEED", "1"))
ONLY, FAULT = int(os.environ.get("SOAK_ONLY", "0")), os.environ.get("SOAK_FAULT", "")


@pytest.fixture
def directory() -> Iterator[Path]:
    """Yield a temporary directory whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="nim-soak-") as path:
        yield Path(path)


def test_the_fake_engine_under_faults(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        soak(FAKE, int(os.environ.get("SOAK_ROUNDS", "200")), directory, tmp_path)


@pytest.mark.engine
def test_the_real_engine_under_faults(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        soak(REAL, int(os.environ.get("SOAK_REAL_ROUNDS", "10")), directory, tmp_path)


def soak(kind: Kind, count: int, directory: Path, logs: Path) -> None:
    """Run the rounds, print each and a summary, and fail at the end if a round failed."""
    adopt_orphans()  # whatever escapes a service becomes our child, and is seen
    ledger = Ledger(kind.clients)
    stage = Stage(kind, directory, Random(SEED))
    rounds = Rounds(stage, ledger, logs, SEED)
    say(f"\n{count} rounds with the {kind.name} engine, seed {SEED}")
    try:
        for number, fault in enumerate(draw(kind, SEED, count, FAULT), 1):
            if ONLY in (0, number):
                say(str(rounds.play(number, fault)))
        stage.down()
    finally:
        stage.clear_away()
        say(ledger.table())
    failed = [str(round_) for round_ in ledger.rounds if round_.failure]
    assert not failed, "\n".join(failed)


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)
    sys.stdout.flush()
