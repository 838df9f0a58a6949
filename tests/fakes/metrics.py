"""The fake engine's Prometheus metrics: Python's own, and vLLM's that are really counted."""

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tests.fakes.service import Service

BUCKETS_SECONDS = (0.01, 0.1, 1.0, 10.0)
REASONS = ("stop", "length", "abort", "error")


def expose(service: Service) -> web.Response:
    """Return one scrape."""
    registry = CollectorRegistry()
    registry.register(Families(service))
    text = generate_latest(REGISTRY) + generate_latest(registry)
    return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


class Families(Collector):
    """The state of the service as metric families."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.labels = {"engine": "0", "model_name": service.names[0]}

    def collect(self) -> Iterator[Metric]:
        """Yield all of them."""
        service = self.service
        yield self.gauge("num_requests_running", len(service.running))
        yield self.gauge("num_requests_waiting", service.waiting)
        yield self.gauge("kv_cache_usage_perc", len(service.running) / 1024)
        yield self.counter("prompt_tokens", service.counts["prompt_tokens"])
        yield self.counter("generation_tokens", service.counts["generation_tokens"])
        yield self.successes()
        yield self.first_tokens()
        yield self.requests()

    def gauge(self, name: str, value: float) -> Metric:
        """Return a value that goes up and down."""
        family = GaugeMetricFamily(f"vllm:{name}", f"{name} of the engine.", labels=[*self.labels])
        family.add_metric([*self.labels.values()], value)
        return family

    def counter(self, name: str, value: float) -> Metric:
        """Return a value that goes up."""
        family = CounterMetricFamily(f"vllm:{name}", f"{name} of the engine.", labels=[*self.labels])
        family.add_metric([*self.labels.values()], value)
        return family

    def successes(self) -> Metric:
        """Return the metric of answers by how they ended."""
        labels = [*self.labels, "finished_reason"]
        family = CounterMetricFamily("vllm:request_success", "Count of finished requests.", labels=labels)
        for reason in REASONS:
            family.add_metric([*self.labels.values(), reason], self.service.counts[reason])
        return family

    def first_tokens(self) -> Metric:
        """Return seconds to the first token."""
        took = self.service.first_token_seconds
        name = "vllm:time_to_first_token_seconds"
        family = HistogramMetricFamily(name, "Time to first token in seconds.", labels=[*self.labels])
        counts = [float(sum(seconds <= limit for seconds in took)) for limit in BUCKETS_SECONDS]
        buckets = [(str(limit), count) for limit, count in zip(BUCKETS_SECONDS, counts, strict=True)]
        family.add_metric([*self.labels.values()], [*buckets, ("+Inf", float(len(took)))], sum(took))
        return family

    def requests(self) -> Metric:
        """Return the metric of HTTP requests by route."""
        labels = ["handler", "method", "status"]
        family = CounterMetricFamily("http_requests", "Total number of requests.", labels=labels)
        for key, count in self.service.requests.items():
            family.add_metric([*key], count)
        return family
