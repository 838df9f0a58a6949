"""A fleet whose backends change while requests run on their replicas."""

from nim.proxy.backend_services import Backend, parse_url
from nim.proxy.routing.models_of_backends import Fleet
from nim.proxy.routing.running_requests import Flight, Flights
from nim.proxy.upstreams import Place, place_of

URLS = ("http://127.0.0.1:1", "http://127.0.0.1:2")


def places(backend: Backend) -> list[Place]:
    """Return the places of a backend whose URLs are addresses."""
    return [place_of(backend.name, parse_url(url), (url.removeprefix("http://"),)) for url in backend.urls]


def test_what_runs_on_a_replica_is_counted_across_a_change_of_its_backend() -> None:
    fleet = Fleet(lambda backend: backend.key_env, lambda: 0.0)
    flights = Flights(fleet.now)
    before = Backend(name="a", urls=URLS[:1], models=("m",))
    fleet.replace([before], places(before))
    (replica,) = fleet.replicas.values()
    flights.begin(b"1", Flight(replica=replica, target=fleet.targets["m"], model="m"))
    after = Backend(name="b", urls=URLS, models=("m",), key_env="KEY")
    fleet.replace([after], places(after))
    same = fleet.replicas[replica.name]
    assert (same.running, same.backend, same.key, same.place.backend) == (1, after, "KEY", "b")
    assert b"X-Nim-Key: Bearer KEY" in same.acceptance(1)
    assert same in fleet.targets["m"].replicas
    flights.read(b"1 /v1/chat/completions 200 0.1 5|0.0|0.1|200\n")
    assert [one.running for one in fleet.replicas.values()] == [0, 0]
