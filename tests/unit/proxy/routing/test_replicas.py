"""When a replica is used, and for how long it is not after failures."""

from nim.proxy.routing.replicas import BROKEN_IN_A_ROW, LONGEST_PAUSE_SECONDS
from tests.unit.proxy.routing.test_prefix_index import replica


def test_failures_take_it_out_for_twice_as_long_each_time() -> None:
    one = replica(1)
    for number in range(20):
        one.connection_failed(100.0)
        assert one.out_until == 100.0 + min(0.5 * 2**number, LONGEST_PAUSE_SECONDS)
        assert not one.usable(100.0, 1)
        assert one.usable(one.out_until, 1)
    one.answered()
    assert one.usable(100.0, 1)


def test_only_several_broken_requests_in_a_row_take_it_out() -> None:
    one = replica(1)
    for _ in range(BROKEN_IN_A_ROW - 1):
        one.request_broke(0.0)
    assert one.usable(0.0, 1)
    one.answered()
    for _ in range(BROKEN_IN_A_ROW):
        one.request_broke(0.0)
    assert not one.usable(0.0, 1)


def test_a_worker_that_does_not_know_it_is_told_its_address() -> None:
    one = replica(1)
    assert b"X-Nim-Replica: 127.0.0.1:1\r\n" in one.acceptance(5)
    one.since = 6
    assert b"X-Nim-Replica: 127.0.0.1:1\r\n" in one.acceptance(5)
    assert f"X-Nim-Replica: {one.name}\r\n".encode() in one.acceptance(6)
