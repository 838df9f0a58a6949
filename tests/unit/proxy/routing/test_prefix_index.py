"""The index of beginnings: who has most of a prompt, and when that does not decide."""

import json

from nim.proxy.backend_services import Backend, parse_url
from nim.proxy.routing.prefix_index import IMBALANCE, MOST_BLOCKS, PrefixIndex
from nim.proxy.routing.replicas import Replica
from nim.proxy.upstreams import place_of


def replica(port: int) -> Replica:
    url = parse_url(f"http://127.0.0.1:{port}")
    return Replica(place=place_of("a", url, (f"127.0.0.1:{port}",)), backend=Backend(name="a"), ready=True)


def body(*texts: str) -> bytes:
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}
    ).encode()


def test_the_replica_with_most_of_the_prompt_is_found() -> None:
    one, two, index = replica(1), replica(2), PrefixIndex()
    index.note(index.blocks("m", body("s" * 600)), one)
    index.note(index.blocks("m", body("s" * 600, "t" * 600)), two)
    assert index.find(index.blocks("m", body("s" * 600, "t" * 600, "u")), [one, two]) is two
    assert index.find(index.blocks("m", body("x" * 600)), [one, two]) is None
    assert index.find(index.blocks("m", body("s" * 600, "t" * 600)), [one]) is one


def test_blocks_depend_on_the_model_and_on_all_before_them() -> None:
    index = PrefixIndex()
    assert index.blocks("m", body("s" * 600)) != index.blocks("n", body("s" * 600))
    assert (
        index.blocks("m", body("a" * 300, "s" * 600))[-1] != index.blocks("m", body("b" * 300, "s" * 600))[-1]
    )
    assert index.blocks("m", b"[]") == index.blocks("m", b"{}") == ()


def test_long_prompts_have_few_blocks_and_still_differ_late() -> None:
    index = PrefixIndex()
    one = index.blocks("m", body("s" * 100_000))
    other = index.blocks("m", body("s" * 95_000 + "t" * 5_000))
    assert len(one) == len(other) <= MOST_BLOCKS
    assert sum(a == b for a, b in zip(one, other, strict=True)) >= len(one) - 4
    assert one[-1] != other[-1]
    assert len(index.blocks("m", body("s" * 1_000_000))) == MOST_BLOCKS


def test_a_replica_with_far_more_to_do_is_not_taken() -> None:
    one, two, index = replica(1), replica(2), PrefixIndex()
    blocks = index.blocks("m", body("s" * 600))
    index.note(blocks, one)
    one.running = IMBALANCE
    assert index.find(blocks, [one, two]) is one
    one.running = IMBALANCE + 1
    assert index.find(blocks, [one, two]) is None
