"""Lines of one kind: the first in full, the others as a number; nothing else is held back."""

from nim.event_loop import EventLoop
from nim.logging.log_line_parsers import Record, read_nginx
from nim.logging.repeated_records import KINDS, WRITTEN, RepeatedRecords

FULL = "2026/11/27 12:00:00 [alert] 17#17: *{} 128 worker_connections are not enough"
REFUSED = (
    "2026/11/27 12:00:00 [error] 1#1: *{0} connect() to unix:/engine.sock failed (111: Connection refused)"
    ' while connecting to upstream, client: 10.0.0.{0}, server: localhost, request: "GET /{0} HTTP/1.1"'
)


def written(*lines: str) -> list[Record]:
    """Return what is written of these lines, in one window."""
    found: list[Record] = []
    records = RepeatedRecords(EventLoop(), found.append)
    for line in lines:
        records.record(read_nginx(line))
    records.flush()
    return found


def test_sixty_thousand_lines_of_one_kind_become_twenty_and_a_count() -> None:
    found = written(*(FULL.format(number) for number in range(61_000)))
    assert len(found) == WRITTEN + 1
    assert found[0].message == "17#17: *0 128 worker_connections are not enough"
    assert found[-1].message.startswith(
        f"{61_000 - WRITTEN} more lines of this kind, the last: 17#17: *60999 "
    )
    assert {record.level for record in found} == {"CRITICAL"}


def test_the_request_makes_no_kind_of_its_own_and_another_message_is_written() -> None:
    found = written(*(REFUSED.format(number) for number in range(200)), FULL.format(1))
    assert len(found) == WRITTEN + 2
    assert FULL.format(1)[28:] in [record.message for record in found]


def test_few_lines_are_all_written_and_nothing_is_added() -> None:
    lines = [FULL.format(number) for number in range(WRITTEN)]
    assert [record.message for record in written(*lines)] == [read_nginx(line).message for line in lines]


def test_kinds_that_a_client_makes_up_are_counted_together() -> None:
    words = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(5_000)]
    found = written(*(f"2026/11/27 12:00:00 [error] 17#17: *1 bad {word}" for word in words))
    assert len(found) == KINDS + WRITTEN + 1


def test_counting_begins_anew_after_a_window() -> None:
    found: list[Record] = []
    now = [0.0]
    loop = EventLoop(now=lambda: now[0])
    records = RepeatedRecords(loop, found.append)
    for _ in range(2):
        for number in range(WRITTEN + 5):
            records.record(read_nginx(FULL.format(number)))
        now[0] += 11
        loop.turn()
    assert len(found) == 2 * (WRITTEN + 1)
