"""What the management routes ask of the loader of adapters; importing it loads none of the loader."""

from collections.abc import Iterator
from typing import Any, Protocol

from prometheus_client.metrics_core import Metric


class AdapterReport(Protocol):
    """The adapters, as /v1/metadata and /v1/metrics show them."""

    def report(self) -> list[dict[str, Any]]:
        """Return the adapters as a list of dicts of JSON values."""

    def metrics(self) -> Iterator[Metric]:
        """Yield the metric families of adapters."""
