"""Options that follow from settings."""

from nim.options.derived_options import kv_event_entries
from nim.value_origins import Layer


def test_without_a_port_no_events_are_published() -> None:
    assert not list(kv_event_entries(None))


def test_the_events_have_the_port_of_the_setting() -> None:
    (entry,) = kv_event_entries(5557)
    assert entry.name == "kv_events_config"
    assert entry.value == {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        "endpoint": "tcp://*:5557",
    }
    assert (entry.origin.layer, entry.origin.place) == (Layer.ENV, "NIM_KV_EVENTS_PORT")
