"""Run one round after the other: load, a fault, the result."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from traceback import format_exc

from tests.soak.faults import Fault
from tests.soak.judge import Outcome, Verdict
from tests.soak.ledger import Ledger, Round
from tests.soak.orders import STARTS
from tests.soak.remains import holding
from tests.soak.stage import FaultFound, Stage

LASTING = ("PID 1", "supervisord", "nginx master", "nginx worker", "middleware", "API server")
# A request that no connection was made for is not one that was cut: nor is one that came as the door closed.
UNHEARD_SECONDS = 3.0


class Rounds:
    """All of a run, on one stage. What goes wrong in one does not keep the next from being played."""

    def __init__(self, stage: Stage, ledger: Ledger, logs: Path, seed: int) -> None:
        self._stage, self._ledger, self._logs, self._seed = stage, ledger, logs, seed

    def play(self, number: int, fault: Fault) -> Round:
        """Return one round; a failure stands in it."""
        round_ = Round(number=number, fault=fault.name)
        self._ledger.rounds.append(round_)
        lives_before = len(self._stage.said)
        try:
            self._play(round_, fault, Random(f"{self._seed}:{number}"))
        except Exception as failure:
            log = self._write_down(number, lives_before)
            told = str(failure) if isinstance(failure, AssertionError) else format_exc()
            round_.failure = f"{told}\n    what the service said: {log}"
            self._stage.load.end()
            self._stage.clear_away()
        return round_

    def _write_down(self, number: int, lives_before: int) -> Path:
        said = "\n".join("\n".join(lines) for lines in self._stage.said[max(lives_before - 1, 0) :])
        log = self._logs / f"round-{number}.log"
        log.write_text(said, encoding="utf-8")
        return log

    def _play(self, round_: Round, fault: Fault, rng: Random) -> None:
        stage = self._stage
        if fault in STARTS:
            stage.down()
        elif not stage.service:
            stage.up()
        time.sleep(stage.kind.healthy_seconds)
        stage.load.begin()
        time.sleep(rng.uniform(0.2, 1.0))
        began = time.monotonic()
        codes = fault.do(stage, rng)
        if codes:
            round_.code = stage.ended()
        else:
            stage.be_back()
        round_.seconds = time.monotonic() - began
        time.sleep(0.2)
        verdicts = stage.load.end()
        round_.outcomes = Counter(verdict.outcome for verdict in verdicts)
        round_.false_ends = [verdict.why for verdict in verdicts if verdict.outcome is Outcome.FALSE_END]
        _check_answers(fault, round_.code, verdicts)
        if round_.code is None:
            stage.be_well()
            self._measure()
        elif round_.code not in codes:
            raise FaultFound(f"exit code {round_.code}, not one of {codes}")
        else:
            stage.be_gone(files=round_.code >= 0)

    def _measure(self) -> None:
        for role in LASTING:
            players = self._stage.players(role)
            assert players, f"the soak finds no {role} to measure"
            for process in players:
                too_much = self._ledger.note(role, process.pid, process.started, holding(process.pid))
                assert not too_much, too_much


def _check_answers(fault: Fault, code: int | None, verdicts: Sequence[Verdict]) -> None:
    never = {Outcome.WRONG, Outcome.HANG}
    if not fault.false_ends:
        never.add(Outcome.FALSE_END)
    if fault.harmless:
        never |= {Outcome.ERROR, Outcome.CLOSED}
    for verdict in verdicts:
        cut = verdict.outcome is Outcome.CLOSED and (verdict.begun or verdict.seconds > UNHEARD_SECONDS)
        if verdict.outcome in never or (fault.gentle and code == 0 and cut):
            raise FaultFound(f"{verdict.outcome}, request {verdict.request_id}: {verdict.why}")
