"""Metrics in Prometheus format: the engine's unchanged, followed by those of the service."""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nim.failures.failure_classes import ENGINE_LOSS_CLASSES
from nim.middleware.gpu_usage import GpuReading, Gpus
from nim.middleware.nginx_stub_status import Connections
from nim.middleware.upstream_clients import Upstreams, fetch
from nim.plan import Plan
from nim.service_state import State

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# A scraper with a timeout of one second still gets ours if nobody else answers.
ENGINE_TIMEOUT_SECONDS = 0.8

_OUR_NAMES = re.compile(rb"^(?:# (?:HELP|TYPE) )?(nim_[a-zA-Z0-9_:]*)", re.MULTILINE)
_GPU_GAUGES: tuple[tuple[str, str, Callable[[GpuReading], float | None]], ...] = (
    ("nim_gpu_utilization_ratio", "Share of time that the GPU computed.", lambda gpu: gpu.utilization_ratio),
    ("nim_gpu_memory_used_bytes", "GPU memory in use.", lambda gpu: gpu.memory_used_bytes),
    ("nim_gpu_memory_total_bytes", "GPU memory there is.", lambda gpu: gpu.memory_total_bytes),
    ("nim_gpu_power_watts", "Electrical power that the GPU draws.", lambda gpu: gpu.power_watts),
    ("nim_gpu_temperature_celsius", "Temperature of the GPU.", lambda gpu: gpu.temperature_celsius),
)


async def exposition(
    plan: Plan, state: State, upstreams: Upstreams, gpus: Gpus, more: Iterable[Metric] = ()
) -> bytes:
    """Return engine's and service's metrics as bytes of Prometheus text; what is silent is left out.

    `more` are further families of the service.
    """
    engine, page, counts, readings = await asyncio.gather(
        fetch(upstreams.engine, "/metrics", ENGINE_TIMEOUT_SECONDS),
        fetch(upstreams.gateway, "/status", ENGINE_TIMEOUT_SECONDS),
        _fetch_key_counts(plan, upstreams),
        gpus.read(),
    )
    ours = [
        *of_service(plan, state),
        _gauge("nim_engine_up", "Whether the engine answered for its metrics in time.", engine is not None),
        *of_gateway(Connections.from_page(page)),
        *of_api_keys(counts),
        *of_gpus(readings),
        *more,
    ]
    return joined(engine, ours)


async def _fetch_key_counts(plan: Plan, upstreams: Upstreams) -> bytes | None:
    """Return nginx's page of requests by API key as bytes; None without keys or an answer."""
    if not plan.gateway.api_keys:
        return None
    return await fetch(upstreams.gateway, "/api_keys", ENGINE_TIMEOUT_SECONDS)


def of_api_keys(page: bytes | None) -> Iterator[Metric]:
    """Yield the counter of requests by API key, parsed from nginx's page; nothing for None."""
    if page is None:
        return
    about = "Requests by the name of their API key (`-`: none that is known) and their end."
    requests = CounterMetricFamily("nim_api_key_requests", about, labels=("key", "end"))
    for line in page.decode(errors="replace").splitlines():
        name, end, count = line.split()
        requests.add_metric((name, end), float(count))
    yield requests


def joined(engine: bytes | None, ours: Iterable[Metric]) -> bytes:
    """Return the engine's bytes unchanged, then our families as bytes, without those the engine has."""
    engine = engine or b""
    taken = {name.decode() for name in _OUR_NAMES.findall(engine)}
    registry = CollectorRegistry()
    registry.register(_Families([family for family in ours if not _names(family) & taken]))
    newline = b"" if not engine or engine.endswith(b"\n") else b"\n"
    return engine + newline + generate_latest(registry)


def of_service(plan: Plan, state: State) -> Iterator[Metric]:
    """Yield the metric families that plan and state alone give, such as nim_ready."""
    info = GaugeMetricFamily(
        "nim_info", "What is served; always 1.", labels=("release", "profile", "model", "plan")
    )
    info.add_metric((plan.release, plan.profile.label, plan.model.name, plan.hash), 1)
    yield info
    yield _gauge("nim_ready", "Whether the service takes requests.", state.ready)
    yield _gauge("nim_uptime_seconds", "Time since this service started.", time.time() - state.started_at)
    yield _phases(state)
    if state.eta_seconds is not None:
        yield _gauge("nim_startup_eta_seconds", "Time until ready, as far as known.", state.eta_seconds)
    yield from _of_download(state)
    if plan.model.max_model_len is not None:
        yield _gauge("nim_context_length_tokens", "Longest context of a request.", plan.model.max_model_len)
    yield _restarts(state)
    yield CounterMetricFamily("nim_engine_stalls", "How often the engine stood still.", state.stalls)
    if plan.gateway.rereads_files:
        yield from _of_reloads(state)


def _of_download(state: State) -> Iterator[Metric]:
    """Yield the gauges of the model's download: bytes on disk and their total; nothing without a download."""
    if state.download is None:
        return
    yield _gauge("nim_download_bytes", "Bytes of the model that are on disk.", state.download.have_bytes)
    if state.download.total_bytes is not None:
        yield _gauge("nim_download_size_bytes", "Bytes of the whole model.", state.download.total_bytes)


def _restarts(state: State) -> Metric:
    """Return the counter family of restarts by class; 0 for each class that has not occurred.

    Prometheus cannot count the first increase of a series that begins at 1.
    """
    family = CounterMetricFamily(
        "nim_engine_restarts", "Restarts of the engine by the class of its loss.", labels=("class",)
    )
    counts = dict.fromkeys((loss.name for loss in ENGINE_LOSS_CLASSES), 0) | dict(state.restarts)
    for kind, count in counts.items():
        family.add_metric((kind,), count)
    return family


def _of_reloads(state: State) -> Iterator[Metric]:
    """Yield the counters of nginx's reloads and refused reloads, and the certificate's expiry if known."""
    yield CounterMetricFamily("nim_gateway_reloads", "How often nginx reread changed files.", state.reloads)
    yield CounterMetricFamily(
        "nim_gateway_reloads_refused",
        "Changed files that nginx was not given because they are unusable.",
        state.refused_reloads,
    )
    if state.certificate_expires_at is not None:
        about = "When the TLS certificate expires, in Unix seconds."
        yield _gauge("nim_tls_certificate_expiry_timestamp_seconds", about, state.certificate_expires_at)


def of_gateway(connections: Connections | None) -> Iterator[Metric]:
    """Yield the metric families of nginx's connections; nothing for None."""
    if connections is None:
        return
    now = GaugeMetricFamily("nim_gateway_connections", "Client connections by activity.", labels=("state",))
    for activity in ("reading", "writing", "waiting"):
        now.add_metric((activity,), getattr(connections, activity))
    yield now
    yield CounterMetricFamily(
        "nim_gateway_connections_accepted", "Client connections taken.", connections.accepted
    )
    yield CounterMetricFamily(
        "nim_gateway_connections_handled", "Client connections taken and served.", connections.handled
    )
    yield CounterMetricFamily("nim_gateway_requests", "Requests, probes included.", connections.requests)


def of_gpus(readings: Sequence[GpuReading]) -> Iterator[Metric]:
    """Yield a gauge family for each kind of value, with a sample per GPU; nothing without GPUs."""
    for name, about, read in _GPU_GAUGES:
        gauge = GaugeMetricFamily(name, about, labels=("gpu", "uuid", "name"))
        for gpu in readings:
            value = read(gpu)
            if value is not None:
                gauge.add_metric((str(gpu.index), gpu.uuid or "", gpu.name or ""), value)
        if gauge.samples:
            yield gauge


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """Return the list of metric families that the collector was given."""
        return self._families


def _gauge(name: str, about: str, value: float) -> Metric:
    """Return a gauge family with one value and no labels."""
    return GaugeMetricFamily(name, about, float(value))


def _phases(state: State) -> Metric:
    """Return the gauge family of each finished phase's seconds; repeated phases are added up."""
    family = GaugeMetricFamily(
        "nim_startup_phase_seconds", "Duration of each phase of the start that is over.", labels=("phase",)
    )
    seconds: dict[str, float] = defaultdict(float)
    for done in state.done:
        seconds[done.phase.value] += done.seconds
    for phase, total in seconds.items():
        family.add_metric((phase,), total)
    return family


def _names(family: Metric) -> set[str]:
    """Return the set of names under which a metric family may appear in the text."""
    return {family.name, *(f"{family.name}{suffix}" for suffix in ("_total", "_created"))}
