"""The router's own metrics in Prometheus format: requests, latency and choices by model and backend."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nim import __version__
from nim.proxy.routing.models_of_backends import Fleet
from nim.proxy.routing.running_requests import Ending
from nim.proxy.upkeep.reload_nginx import NginxReload
from nim.render.nginx_backends import routed_routes

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# From an embedding to a long answer.
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
FIRST_BYTE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics(Collector):
    """Counts what nginx says about ended requests and what the router refuses."""

    def __init__(self, fleet: Fleet, nginx: NginxReload) -> None:
        self._fleet, self._nginx = fleet, nginx
        self._registry = CollectorRegistry()
        self._registry.register(self)
        labels = ("model", "backend")
        counter, histogram = self._counter, self._histogram
        about = "Requests that ended, by model, backend, route and status."
        self._requests = counter("requests", about, *labels, "route", "status")
        about = "Time from a request's first byte to the last of its answer."
        self._seconds = histogram("request_seconds", about, SECONDS)
        about = "Time from sending a request to a backend until its answer begins."
        self._first_byte = histogram("first_byte_seconds", about, FIRST_BYTE_SECONDS)
        about = "Choices by prefix: whether a replica that has the prompt's beginning was taken."
        self._choices = counter("prefix_choices", about, *labels, "hit")
        about = "Connections that a replica did not take, so that another one was asked."
        self._retries = counter("connection_failures", about, "backend")
        about = "Requests that the router answered with an error itself."
        self._refusals = counter("refused", about, "route", "status")
        self._children: dict[tuple[Any, ...], Any] = {}
        self._statuses: Counter[int] = Counter()
        self._routes = frozenset(route.path for route in routed_routes())

    def _counter(self, name: str, about: str, *labels: str) -> PrometheusCounter:
        """Return a counter of this registry."""
        return PrometheusCounter(f"nim_proxy_{name}", about, labels, registry=self._registry)

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...]) -> Histogram:
        """Return a histogram of this registry, by model and backend."""
        labels = ("model", "backend")
        return Histogram(f"nim_proxy_{name}", about, labels, buckets=buckets, registry=self._registry)

    def ended(self, ending: Ending) -> None:
        """Count a request that has ended."""
        self._statuses[ending.status] += 1
        flight = ending.flight
        model = flight.model if flight else ""
        backend = flight.replica.backend.name if flight else self._only_backend(ending)
        self._labelled(self._requests, model, backend, ending.route, str(ending.status)).inc()
        if flight is None and not backend:
            return
        self._labelled(self._seconds, model, backend).observe(ending.seconds)
        if ending.first_byte_seconds is not None:
            self._labelled(self._first_byte, model, backend).observe(ending.first_byte_seconds)
        if flight is None:
            return
        if flight.hit is not None:
            self._choices.labels(model, backend, "true" if flight.hit else "false").inc()
        for replica in flight.tried:
            self._retries.labels(replica.backend.name).inc()

    def _labelled(self, metric: Any, *labels: str) -> Any:
        """Return a metric's child with these labels, which the library takes far longer to find."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def refused(self, route: str, status: int) -> None:
        """Count a request that was refused."""
        known = route if route in self._routes else "other"
        self._refusals.labels(known, str(status)).inc()

    def counts(self) -> dict[str, int]:
        """Return {status: requests that ended with it}."""
        return {str(status): count for status, count in sorted(self._statuses.items())}

    def exposition(self) -> bytes:
        """Return all metrics as Prometheus text."""
        return generate_latest(self._registry)

    def _only_backend(self, ending: Ending) -> str:
        """Return the name of the backend of a request that nginx sent without asking; "" without one."""
        if ending.upstream_status is None or not self._nginx.direct or len(self._fleet.replicas) != 1:
            return ""
        (replica,) = self._fleet.replicas.values()
        return replica.backend.name

    def collect(self) -> Iterable[Metric]:
        """Yield what is read from the fleet at this moment."""
        info = GaugeMetricFamily("nim_proxy_info", "Which release this is; always 1.", labels=("release",))
        info.add_metric((__version__,), 1)
        yield info
        yield from self._of_replicas()
        yield CounterMetricFamily(
            "nim_proxy_reloads", "How often nginx was given changed backends.", self._nginx.reloads
        )
        yield CounterMetricFamily(
            "nim_proxy_reloads_refused", "Changed backends that could not be used.", self._nginx.refused
        )
        ready = bool(self._fleet.ready_replicas())
        yield GaugeMetricFamily("nim_proxy_ready", "Whether any backend takes requests.", float(ready))

    def _of_replicas(self) -> Iterator[Metric]:
        """Yield the gauges of the replicas."""
        labels = ("backend", "replica")
        ready = GaugeMetricFamily("nim_proxy_replica_ready", "Whether it takes requests.", labels=labels)
        running = GaugeMetricFamily("nim_proxy_replica_running", "Requests that run on it.", labels=labels)
        chosen = CounterMetricFamily("nim_proxy_replica_requests", "Requests sent to it.", labels=labels)
        now = self._fleet.now()
        for replica in self._fleet.replicas.values():
            names = (replica.backend.name, replica.label)
            ready.add_metric(names, float(bool(replica.ready) and replica.out_until <= now))
            running.add_metric(names, replica.running)
            chosen.add_metric(names, replica.requests)
        yield from (ready, running, chosen)
