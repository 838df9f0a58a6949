"""Read the engine's metrics through the same ingress."""

from prometheus_client.parser import text_string_to_metric_families

from nim.doctor.http_client import REQUEST_TIMEOUT_SECONDS, Answer, ConnectionCut, ServiceClient
from nim.frozen_dataclass import frozen_dataclass

PATHS = ("/v1/metrics", "/metrics")
RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
GENERATED = "vllm:generation_tokens_total"
FIRST_TOKEN = "vllm:time_to_first_token_seconds"  # noqa: S105 - a metric, not a password
BETWEEN_TOKENS = "vllm:inter_token_latency_seconds"


@frozen_dataclass
class Counts:
    """One scrape of the metrics; series of the same name are added up."""

    values: dict[str, float]

    @property
    def running(self) -> float:
        """Return the number of requests that run or wait in the engine; 0.0 if the metrics lack it."""
        return self.values.get(RUNNING, 0.0) + self.values.get(WAITING, 0.0)

    @property
    def generated(self) -> float:
        """Return the number of tokens generated so far for all clients; 0.0 if the metrics lack it."""
        return self.values.get(GENERATED, 0.0)

    def mean_since(self, before: "Counts", name: str, at_most: float) -> float | None:
        """Return a histogram's mean since an earlier scrape; None for no, or over `at_most`, new values."""
        number = self._since(before, f"{name}_count")
        if not 0 < number <= at_most:
            return None
        return self._since(before, f"{name}_sum") / number

    def _since(self, before: "Counts", name: str) -> float:
        """Return by how much a counter has grown since an earlier scrape."""
        return self.values.get(name, 0.0) - before.values.get(name, 0.0)


async def scrape(client: ServiceClient, path: str, seconds: float = REQUEST_TIMEOUT_SECONDS) -> Counts | None:
    """Fetch the page of metrics and return Counts; None without an answer or without vLLM's metrics."""
    try:
        accept = {"Accept": "text/plain;version=0.0.4"}
        answer = await client.ask("GET", path, headers=accept, seconds=seconds)
    except (ConnectionCut, TimeoutError):
        return None
    return _counts(answer) if answer.status == 200 else None


def _counts(answer: Answer) -> Counts | None:
    """Return the Counts in an answer's text; None if it has no metrics of vLLM."""
    values: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families(answer.body.decode()):
            for sample in family.samples:
                if sample.name.startswith("vllm:") and "le" not in sample.labels:
                    values[sample.name] = values.get(sample.name, 0.0) + sample.value
    except ValueError:
        return None
    return Counts(values=values) if RUNNING in values else None


async def find_metrics_path(client: ServiceClient) -> str | None:
    """Return the first path of PATHS at which the service has vLLM's metrics; None if none has."""
    for path in PATHS:
        if await scrape(client, path):
            return path
    return None
