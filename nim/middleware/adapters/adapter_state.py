"""What is known of each adapter, and how often the engine was asked to load and unload: for reports."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import field
from enum import StrEnum
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from nim.frozen_dataclass import frozen_dataclass


class Standing(StrEnum):
    """Whether an adapter is served: it is; its files are not whole yet; it cannot be, as they are."""

    LOADED = "loaded"
    WAITING = "waiting"
    REFUSED = "refused"


@frozen_dataclass
class AdapterState:
    """One adapter. `message` is why it is not loaded, or why an older version of it still is."""

    name: str
    standing: Standing
    signature: str
    rank: int | None = None
    base: str | None = None
    message: str | None = None
    loaded_at: float | None = None


@frozen_dataclass
class Counts:
    """How often the engine was asked for something about adapters, by the result: `ok` or `failed`."""

    loads: Counter[str] = field(default_factory=Counter)
    unloads: Counter[str] = field(default_factory=Counter)


def adapters_body(states: Iterable[AdapterState], parent: str) -> list[dict[str, Any]]:
    """Return the adapters as a list of dicts for /v1/metadata; `parent` is the id of the base model."""
    return [
        {
            "id": state.name,
            "parent": parent,
            "state": state.standing.value,
            "rank": state.rank,
            "base": state.base,
            "message": state.message,
            "loaded_at": state.loaded_at,
        }
        for state in states
    ]


def of_adapters(states: Iterable[AdapterState], counts: Counts) -> Iterator[Metric]:
    """Yield the metric families of adapters: how many there are in each state, loads and unloads."""
    by_state = Counter(state.standing for state in states)
    about = "Adapters of NIM_PEFT_SOURCE by whether they are served."
    present = GaugeMetricFamily("nim_adapters", about, labels=("state",))
    for standing in Standing:
        present.add_metric((standing.value,), by_state[standing])
    yield present
    for name, what, results in (
        ("nim_adapter_loads", "Adapters that the engine was asked to load.", counts.loads),
        ("nim_adapter_unloads", "Adapters that the engine was asked to unload.", counts.unloads),
    ):
        family = CounterMetricFamily(name, what, labels=("result",))
        for result in ("ok", "failed"):
            family.add_metric((result,), results[result])
        yield family
