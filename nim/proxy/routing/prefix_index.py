"""Remember which replica has which beginnings of prompts in its KV cache."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import msgspec

from nim.proxy.routing.replicas import Replica

# A block of a prompt's text, in bytes. Engines cache blocks of 16 tokens or more, so about this.
BLOCK_BYTES = 256
# After so many, blocks are larger: each costs time, and what one misses is a small part of so long a prompt.
SMALL_BLOCKS, LARGE_BLOCK_BYTES = 64, 2048
MOST_BLOCKS = 128
MOST_ENTRIES = 200_000
# The preferred replica may have so many more running requests than the one with the fewest.
IMBALANCE, IMBALANCE_RATIO = 4, 1.5


NOTHING = msgspec.Raw()


class Prompt(msgspec.Struct):
    """The parts of a request that decide what its prompt begins with, in that order."""

    tools: msgspec.Raw = NOTHING
    system: msgspec.Raw = NOTHING
    instructions: msgspec.Raw = NOTHING
    messages: msgspec.Raw = NOTHING
    input: msgspec.Raw = NOTHING
    prompt: msgspec.Raw = NOTHING


_DECODER = msgspec.json.Decoder(Prompt)


class PrefixIndex:
    """Blocks of prompts, each hashed with all before it → the replicas that have it; the oldest go."""

    def __init__(self) -> None:
        self._holders: OrderedDict[int, tuple[Replica, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._holders)

    def blocks(self, model: str, body: bytes | memoryview) -> tuple[int, ...]:
        """Return the hashes of the blocks of a prompt; () for a body without one."""
        try:
            prompt = _DECODER.decode(body)
        except (msgspec.MsgspecError, RecursionError):
            return ()
        text = b"".join(bytes(part) for part in _parts(prompt))
        return tuple(_hashes(model, text))

    def find(self, blocks: Sequence[int], usable: Sequence[Replica]) -> Replica | None:
        """Return the replica that has most of these blocks and not far more to do than others; or None."""
        fewest = min(replica.running for replica in usable)
        most = max(fewest + IMBALANCE, fewest * IMBALANCE_RATIO)
        left = [replica for replica in usable if replica.running <= most]
        found = None
        for block in blocks:
            holders = self._holders.get(block)
            left = [replica for replica in left if holders and replica in holders]
            if not left:
                break
            found = left
        return min(found, key=lambda replica: replica.running) if found else None

    def note(self, blocks: Sequence[int], replica: Replica) -> None:
        """Remember that a replica now has these blocks."""
        for block in blocks:
            holders = self._holders.get(block, ())
            self._holders[block] = holders if replica in holders else (*holders[-3:], replica)
            self._holders.move_to_end(block)
        while len(self._holders) > MOST_ENTRIES:
            self._holders.popitem(last=False)


def _parts(prompt: Prompt) -> Iterator[msgspec.Raw]:
    """Yield the JSON texts that a prompt is made of, in the order in which a chat template writes them."""
    yield prompt.tools
    yield prompt.system
    yield prompt.instructions
    yield prompt.messages
    yield prompt.input
    yield prompt.prompt


def _hashes(model: str, text: bytes) -> Iterator[int]:
    """Yield the hash of each whole block of a text, with all that is before it."""
    before, at = hash(model), 0
    for number in range(MOST_BLOCKS):
        size = BLOCK_BYTES if number < SMALL_BLOCKS else LARGE_BLOCK_BYTES
        if at + size > len(text):
            return
        before = hash((before, text[at : at + size]))
        at += size
        yield before
