"""Layers: precedence, merging, history."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nim.options.option_layers import Entry
from nim.options.resolve_layers import merge, resolve
from nim.value_origins import Layer, Origin

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("xyz"), JSON, max_size=3)
ENTRIES = st.lists(
    st.builds(
        lambda name, value, layer: entry(name, value, layer),
        st.sampled_from("abc"),
        JSON,
        st.sampled_from(Layer),
    ),
    max_size=12,
)


def entry(name: str, value: Any, layer: Layer) -> Entry:
    return Entry(name=name, value=value, origin=Origin(layer=layer, place=layer.name))


def test_the_stronger_layer_wins_and_remembers_what_it_overrode() -> None:
    resolved = resolve(
        [
            entry("max_num_seqs", 8, Layer.CLI),
            entry("max_num_seqs", 64, Layer.PROFILE),
            entry("max_num_seqs", 16, Layer.ENV),
        ]
    )["max_num_seqs"]
    assert resolved.value == 8
    assert resolved.origin.layer is Layer.CLI
    assert [(old.value, old.origin.layer) for old in resolved.previous] == [
        (16, Layer.ENV),
        (64, Layer.PROFILE),
    ]


def test_within_one_layer_the_later_entry_wins() -> None:
    resolved = resolve([entry("a", 1, Layer.PASSTHROUGH), entry("a", 2, Layer.PASSTHROUGH)])["a"]
    assert resolved.value == 2
    assert resolved.previous[0].value == 1


def test_json_objects_are_merged_deeply() -> None:
    weak = {"method": "mtp", "nested": {"a": 1, "b": 1}}
    strong = {"num_speculative_tokens": 2, "nested": {"b": 2}}
    value = resolve([entry("c", weak, Layer.PROFILE), entry("c", strong, Layer.CLI)])["c"].value
    assert value == {"method": "mtp", "num_speculative_tokens": 2, "nested": {"a": 1, "b": 2}}


def test_false_beats_a_weaker_true() -> None:
    value = resolve([entry("x", True, Layer.PROFILE), entry("x", False, Layer.ENV)])["x"].value
    assert value is False


@given(ENTRIES)
def test_the_order_of_the_layers_is_theirs_not_the_order_of_arrival(layered: list[Entry]) -> None:
    by_layer = sorted(layered, key=lambda e: e.origin.layer, reverse=True)
    assert resolve(by_layer) == resolve(layered)


@given(ENTRIES)
def test_no_entry_is_forgotten(layered: list[Entry]) -> None:
    resolved = resolve(layered)
    assert sum(1 + len(value.previous) for value in resolved.values()) == len(layered)


@given(OBJECTS, OBJECTS)
def test_merging_keeps_all_keys_and_the_last_value(weak: Any, strong: Any) -> None:
    merged = merge(weak, strong)
    assert merged.keys() == weak.keys() | strong.keys()
    for key, value in strong.items():
        assert merged[key] == merge(weak.get(key), value)
    for key in weak.keys() - strong.keys():
        assert merged[key] == weak[key]


@given(JSON)
def test_merging_a_value_with_itself_changes_nothing(value: Any) -> None:
    assert merge(value, value) == value
