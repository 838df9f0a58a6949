"""Counts of running requests: begun, ended, moved, and left behind by a worker of nginx."""

from nim.proxy.backend_services import Backend, parse_url
from nim.proxy.routing.replicas import Replica, Target
from nim.proxy.routing.running_requests import MOST_EARLY_ENDS, Flight, Flights
from nim.proxy.upstreams import place_of

BACKEND = Backend(name="a", urls=("http://127.0.0.1:1",))


def replica() -> Replica:
    return Replica(place=place_of("a", parse_url(BACKEND.urls[0]), ("127.0.0.1:1",)), backend=BACKEND)


def flight(to: Replica, worker: int = 0) -> Flight:
    return Flight(replica=to, target=Target(backend=BACKEND), model="m", worker=worker)


def ends(*keys: str) -> bytes:
    """Return the lines that nginx writes when these requests end."""
    return b"".join(f"{key} /v1/chat/completions 200 0.1 5|0.0|0.1|200\n".encode() for key in keys)


def test_a_worker_that_ends_leaves_only_what_others_run() -> None:
    one, flights = replica(), Flights(lambda: 0.0)
    for number, worker in enumerate((7, 7, 8)):
        flights.begin(str(number).encode(), flight(one, worker))
    flights.read(ends("0"))
    assert flights.worker_ended(7) == 1
    assert (one.running, len(flights)) == (1, 1)
    assert flights.worker_ended(7) == 0
    flights.read(ends("1"))  # whatever comes late is not counted twice
    assert one.running == 1


def test_each_worker_is_named_when_its_request_begins() -> None:
    flights, seen = Flights(lambda: 0.0), list[int]()
    flights.began_in = seen.append
    flights.begin(b"a", flight(replica(), 7))
    assert seen == [7]


def test_a_request_that_ended_before_its_question_was_read_does_not_run() -> None:
    one, flights = replica(), Flights(lambda: 0.0)
    flights.read(ends("a"))
    flights.begin(b"a", flight(one))
    assert (one.running, len(flights)) == (0, 0)
    flights.begin(b"a", flight(one))  # remembered once only
    assert one.running == 1


def test_few_ends_are_remembered() -> None:
    one, flights = replica(), Flights(lambda: 0.0)
    flights.read(ends(*(str(number) for number in range(MOST_EARLY_ENDS + 1))))
    flights.begin(b"0", flight(one))
    assert one.running == 1
    flights.begin(b"1", flight(one))
    assert one.running == 1
