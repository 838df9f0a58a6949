"""Choose the fault of each round by a seed, all equally often."""

from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random

from tests.soak.faults import ENDS, KILLS, PAUSES, Fault
from tests.soak.kinds import FAKE, Kind
from tests.soak.orders import ENDINGS, ORDERS, STARTS

# Of lives after the first.
LIFE_ROUNDS = (1, 5)


def draw(kind: Kind, seed: int, rounds: int, named: str = "") -> list[Fault]:
    """Return faults for this many rounds: several losses, then one that ends the service.

    `named`: only faults whose name has this.
    """
    rng = Random(seed)
    mended, ends = (
        _deck(
            [fault for fault in faults if (kind is FAKE or not fault.fake_only) and named in fault.name], rng
        )
        for faults in ((*KILLS, *PAUSES, *ORDERS), (*ENDS, *ENDINGS, *STARTS))
    )
    drawn: list[Fault] = []
    length = min(kind.first_life_rounds, rounds // 2)
    while len(drawn) < rounds:
        drawn += islice(mended, length)
        drawn += islice(ends, 1 if kind is FAKE else 2)
        length = rng.randint(*LIFE_ROUNDS) if kind is FAKE else 1
    return drawn[:rounds]


def _deck(cards: Sequence[Fault], rng: Random) -> Iterator[Fault]:
    """Yield faults without end; none repeats before all others have come."""
    while cards:
        yield from rng.sample(cards, len(cards))
