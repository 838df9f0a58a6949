"""Groups of targets measured together, in turns; ratios are taken only within a group."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.gateway.figures import DIRECT, NOISE
from bench.peers import BESIDE, FAST
from bench.peers.gateway import GATEWAY
from bench.peers.peer import Peer

MAIN = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One scenario: how many rounds, how long each, of whom (None: of all)."""

    scenario: str
    rounds: int
    seconds: float
    only: tuple[str, ...] | None = None

    def order(self, targets: Sequence[str], turn: int) -> list[str]:
        """Return those who take part, beginning with another one each round."""
        chosen = [name for name in targets if self.only is None or name in self.only]
        start = turn % len(chosen) if chosen else 0
        return chosen[start:] + chosen[:start]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Peers that are up together, and what is done with them."""

    name: str
    peers: tuple[Peer, ...]
    steps: tuple[Step, ...]

    def turns(self) -> Iterator[tuple[int, Step]]:
        """Yield round and step, for each step that has rounds left."""
        for turn in range(max(step.rounds for step in self.steps)):
            for step in self.steps:
                if turn < step.rounds:
                    yield turn, step


def blocks(*, quick: bool) -> list[Block]:
    """Return the main block, and one for each of the others: in quiet, some 16 minutes, or 3."""
    return [_main(quick), *(_beside(peer, quick) for peer in BESIDE)]


def _main(quick: bool) -> Block:
    few = (DIRECT, NOISE, "gateway", "haproxy", "forwarder-unix")
    rounds, seconds = (2, 0.7) if quick else (5, 1.5)
    slow = 1 if quick else 3
    steps = [
        Step(scenario="json-64", rounds=rounds, seconds=seconds),
        Step(scenario="paced-64", rounds=rounds, seconds=seconds),
        Step(scenario="json-1", rounds=slow, seconds=seconds),
        *(
            Step(scenario=f"tokens-{count}", rounds=slow, seconds=seconds, only=few)
            for count in (1, 16, 64, 256)
        ),
        Step(scenario="upload", rounds=slow, seconds=seconds, only=few),
        Step(scenario="download", rounds=slow, seconds=seconds, only=few),
        Step(scenario="live", rounds=slow, seconds=seconds, only=("gateway",)),
        Step(scenario="idle", rounds=1, seconds=1, only=few),
    ]
    return Block(name=MAIN, peers=FAST, steps=tuple(steps))


def _beside(peer: Peer, quick: bool) -> Block:
    rounds, seconds = (1, 0.7) if quick else (3, 1.5)
    all_three, pair = (DIRECT, GATEWAY.name, peer.name), (DIRECT, peer.name)
    streams = (1, 16) if peer.slow else (1, 16, 64, 256)
    long = 3 * seconds if peer.slow else seconds
    steps = [
        Step(scenario="json-64", rounds=rounds, seconds=long, only=all_three),
        Step(scenario="paced-64", rounds=rounds, seconds=seconds, only=all_three),
        Step(scenario="json-1", rounds=rounds, seconds=seconds, only=all_three),
        *(Step(scenario=f"tokens-{count}", rounds=1, seconds=seconds, only=pair) for count in streams),
        Step(scenario="upload", rounds=1, seconds=seconds, only=pair),
        Step(scenario="idle", rounds=1, seconds=1, only=pair),
    ]
    return Block(name=peer.name, peers=(GATEWAY, peer), steps=tuple(steps))
