"""Collect the results of all rounds and print them as a table."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median

from tests.soak.judge import Outcome
from tests.soak.remains import Holding

# What a process may have more than when it was first looked at: connections that it keeps, a file or two.
MORE_DESCRIPTORS, MORE_PER_CLIENT = 8, 4


@dataclass(slots=True, kw_only=True)
class Round:
    """One round. `seconds`: until the service was back, or had ended with `code`."""

    number: int
    fault: str
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    seconds: float | None = None
    code: int | None = None
    failure: str | None = None
    false_ends: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        came = f"exit {self.code}" if self.code is not None else "back"
        when = f"{came} after {self.seconds:.1f} s" if self.seconds is not None else "no end seen"
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        failed = f"\n    FAILED: {self.failure}" if self.failure else ""
        ends = "".join(f"\n    false end: {why}" for why in self.false_ends)
        return f"round {self.number}: {self.fault}: {when}; {counts or 'no requests'}{ends}{failed}"


class Ledger:
    """All rounds, and what each lasting process held after each."""

    def __init__(self, clients: int) -> None:
        self.rounds: list[Round] = []
        self._held: dict[tuple[str, int, int], list[Holding]] = defaultdict(list)
        self._clients = clients

    def note(self, role: str, pid: int, started: int, held: Holding) -> str | None:
        """Write down what a process holds; what is too much of it."""
        seen = self._held[role, pid, started]
        seen.append(held)
        allowed = seen[0].descriptors + MORE_DESCRIPTORS
        if role in ("nginx worker", "API server"):
            allowed += MORE_PER_CLIENT * self._clients
        if held.descriptors > allowed:
            return f"{role} {pid} has {held.descriptors} descriptors, at first it had {seen[0].descriptors}"
        return None

    def table(self) -> str:
        """Return a table of faults with results, requests, times and growth."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        names = {round_.fault: None for round_ in self.rounds}
        yield f"{'fault':34} rounds  end  median  worst  {'  '.join(Outcome)}"
        for name in sorted(names):
            yield _row(name, [round_ for round_ in self.rounds if round_.fault == name])
        yield _row("all that came back", [round_ for round_ in self.rounds if round_.code is None])
        yield _row("all", self.rounds)
        for role in {role: None for role, _, _ in self._held}:
            yield _growth(role, [held for who, held in self._held.items() if who[0] == role])


def _row(name: str, rounds: Iterable[Round]) -> str:
    rounds = list(rounds)
    codes = {"back" if round_.code is None else str(round_.code) for round_ in rounds}
    took = [round_.seconds for round_ in rounds if round_.seconds is not None] or [0.0]
    total = sum((round_.outcomes for round_ in rounds), Counter[Outcome]())
    counts = "  ".join(f"{total[outcome]:{len(outcome)}}" for outcome in Outcome)
    end = "/".join(sorted(codes)) if len(codes) < 3 else "…"
    return f"{name:34} {len(rounds):6} {end:>8} {median(took):6.1f} {max(took):6.1f}  {counts}"


def _growth(role: str, held: list[list[Holding]]) -> str:
    """Return the growth of the longest-lived process, and the largest growth of any."""
    longest = max(held, key=len)
    descriptors = [one.descriptors for one in longest]
    memory = [one.memory_kib / 1024 for one in longest]
    more_descriptors = max(one[-1].descriptors - one[0].descriptors for one in held)
    more_memory = max(one[-1].memory_kib - one[0].memory_kib for one in held) / 1024
    return (
        f"{role:12} {len(held):3} lives, the longest of {len(longest)} rounds: "
        f"descriptors {descriptors[0]} → {descriptors[-1]} (most {max(descriptors)}), "
        f"memory {memory[0]:.1f} → {memory[-1]:.1f} MiB; of all: +{more_descriptors}, +{more_memory:.1f} MiB"
    )
