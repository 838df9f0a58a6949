"""/v1/metrics: the engine's bytes followed by ours, read by prometheus-client's parser."""

import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL, Popen
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, web
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from nim.failures.failure_classes import FAILURE_CLASSES, STALLED, UNKNOWN
from nim.middleware import gpu_usage, metrics
from nim.middleware.gpu_usage import Gpus, load_nvml
from nim.middleware.metrics import joined, of_api_keys, of_gateway, of_gpus, of_service
from nim.middleware.nginx_stub_status import Connections
from nim.plan import STATUS_SOCKET, Plan, Tls
from nim.service_state import DownloadState, Phase, PhaseDone
from tests.deploy.metrics import GPU
from tests.deploy.promtool import promtool
from tests.middleware.conftest import GENEROUS_SECONDS, Serve, Upstream, client, put_state, state, wait_for
from tests.middleware.driver import Driver

ENGINES = b"""# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{generation="0"} 1234.0
# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 2.3e+09
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 2.0
# HELP vllm:e2e_request_latency_seconds Histogram of e2e request latency in seconds.
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{engine="0",le="0.3"} 1.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="+Inf"} 3.0
vllm:e2e_request_latency_seconds_count{engine="0"} 3.0
vllm:e2e_request_latency_seconds_sum{engine="0"} 4.5
"""

TLS = Tls(certificates="/tls.crt", key="/tls.key", client_authorities=None)
DONE = PhaseDone(phase=Phase.LOAD, seconds=2.5)

Families = dict[str, Metric]


def parsed(text: bytes) -> Families:
    """Return the families by name; a name that comes twice is an error."""
    families = list(text_string_to_metric_families(text.decode()))
    assert [name for name, count in Counter(family.name for family in families).items() if count > 1] == []
    samples = Counter((s.name, *sorted(s.labels.items())) for family in families for s in family.samples)
    assert [sample for sample, count in samples.items() if count > 1] == []
    return {family.name: family for family in families}


def value(families: Families, family: str, **labels: str) -> float:
    """Return the one sample of the family with these labels."""
    (found,) = (s.value for s in families[family].samples if labels.items() <= s.labels.items())
    return found


async def scrape(service: ClientSession) -> bytes:
    async with service.get("/v1/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return await answer.read()


async def scrape_until(service: ClientSession, fulfilled: Callable[[Families], object]) -> Families:
    """Scrape until it is so: on a busy machine the patience with the others may end too early once."""
    deadline = time.monotonic() + GENEROUS_SECONDS
    while not fulfilled(families := parsed(await scrape(service))):
        assert time.monotonic() < deadline, sorted(families)
    return families


def engine_is(up: int) -> Callable[[Families], bool]:
    return lambda families: value(families, "nim_engine_up") == up


async def test_ours_answer_before_the_engine_is_up(plan: Plan, serve: Serve) -> None:
    put_state(plan, state(started_at=time.time() - 100))
    families = parsed(await scrape(await serve(plan)))
    assert value(families, "nim_ready") == 0
    assert value(families, "nim_engine_up") == 0
    assert value(families, "nim_uptime_seconds") >= 100
    labels = {"release": "0.1.0", "profile": "vllm-bf16-tp1-pp1", "model": "org/tiny-1b", "plan": plan.hash}
    assert value(families, "nim_info", **labels) == 1
    assert {name for name in families if not name.startswith("nim_")} == set()
    assert {name for name in families if name.startswith("nim_gateway_")} == set()


async def test_phases_and_restarts_come_from_the_state(plan: Plan, serve: Serve) -> None:
    load, fetch = (PhaseDone(phase=phase, seconds=2.5) for phase in (Phase.LOAD, Phase.FETCH))
    restarts = (("gpu-out-of-memory", 2), ("unknown", 1))
    put_state(plan, state(phase=Phase.READY, ready=True, done=(fetch, load, load), restarts=restarts))
    families = parsed(await scrape(await serve(plan)))
    assert value(families, "nim_ready") == 1
    assert value(families, "nim_startup_phase_seconds", phase="fetch") == 2.5
    assert value(families, "nim_startup_phase_seconds", phase="load") == 5.0
    assert families["nim_engine_restarts"].type == "counter"
    assert value(families, "nim_engine_restarts", **{"class": "gpu-out-of-memory"}) == 2
    assert value(families, "nim_engine_restarts", **{"class": "unknown"}) == 1


async def test_every_class_of_loss_begins_at_zero(plan: Plan, serve: Serve) -> None:
    """Prometheus cannot see that a series which appears at 1 has grown."""
    service = await serve(plan)
    put_state(plan, state())
    before = parsed(await scrape(service))["nim_engine_restarts"].samples
    assert {sample.labels["class"]: sample.value for sample in before} == dict.fromkeys(
        [loss.name for loss in (*FAILURE_CLASSES, STALLED, UNKNOWN)], 0
    )
    put_state(plan, state(restarts=(("host_oom", 1),)))
    after = parsed(await scrape(service))["nim_engine_restarts"].samples
    assert {s.labels["class"] for s in after} == {s.labels["class"] for s in before}
    assert [s.labels["class"] for s in after if s.value] == ["host_oom"]


async def test_the_bytes_of_a_download(plan: Plan, serve: Serve) -> None:
    service = await serve(plan)
    assert "nim_download_bytes" not in parsed(await scrape(service))
    put_state(plan, state(download=DownloadState(have_bytes=5)))
    families = parsed(await scrape(service))
    assert value(families, "nim_download_bytes") == 5
    assert "nim_download_size_bytes" not in families
    put_state(plan, state(download=DownloadState(have_bytes=5, total_bytes=10)))
    assert value(parsed(await scrape(service)), "nim_download_size_bytes") == 10


@pytest.mark.parametrize("length", [2048, None])
async def test_the_context_length_is_exported_where_it_is_known(
    plan: Plan, serve: Serve, length: int | None
) -> None:
    model = replace(plan.model, max_model_len=length)
    families = parsed(await scrape(await serve(replace(plan, model=model))))
    found = [sample.value for sample in families["nim_context_length_tokens"].samples] if length else []
    assert found == ([length] if length else [])
    assert ("nim_context_length_tokens" in families) == (length is not None)


def test_promtool_has_no_complaint_about_our_metrics(plan: Plan) -> None:
    """Not about names, units, suffixes or missing texts of any family that the service can export."""
    reads = replace(plan, gateway=replace(plan.gateway, tls=TLS))
    known = state(
        eta_seconds=1.0,
        done=(DONE,),
        certificate_expires_at=2e9,
        download=DownloadState(have_bytes=1, total_bytes=2),
    )
    counts = Connections(accepted=1, handled=1, requests=1, reading=1, writing=1, waiting=1)
    families = [
        *of_service(reads, known),
        *of_gateway(counts),
        *of_api_keys(b"alice ok 1\n"),
        *of_gpus([GPU]),
    ]
    text = joined(None, families).decode()
    names = set(re.findall(r'"(nim_[a-z_]+)"', Path(metrics.__file__).read_text(encoding="utf-8")))
    elsewhere = {"nim_engine_up"}
    assert {name for name in names if f"# TYPE {name}" not in text} == elsewhere
    assert promtool("check", "metrics", text=text) == ""
    with pytest.raises(AssertionError, match="counter metrics should have"):
        promtool("check", "metrics", text="# HELP a b\n# TYPE a counter\na 1\n")


async def test_the_time_until_ready_is_there_while_it_is_known(plan: Plan, serve: Serve) -> None:
    service = await serve(plan)
    put_state(plan, state(eta_seconds=12.5))
    assert value(parsed(await scrape(service)), "nim_startup_eta_seconds") == 12.5
    put_state(plan, state(eta_seconds=None))
    assert "nim_startup_eta_seconds" not in parsed(await scrape(service))


@pytest.mark.parametrize("text", [ENGINES, ENGINES.rstrip(b"\n"), ENGINES + b"\n# a comment\n", b""])
async def test_the_engine_s_bytes_are_untouched(
    plan: Plan, serve: Serve, engine: Upstream, text: bytes
) -> None:
    engine.metrics = text
    service = await serve(plan)
    await scrape_until(service, engine_is(up=1))
    scraped = await scrape(service)
    assert scraped.startswith(text)
    families = parsed(scraped)
    if text:
        assert value(families, "vllm:num_requests_running") == 2
        assert value(families, "process_resident_memory_bytes") == 2.3e9


async def test_an_engine_on_a_port_is_asked_there(plan: Plan, serve: Serve) -> None:
    app = web.Application()

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=ENGINES)

    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        service = await serve(replace(plan, engine=replace(plan.engine, socket=None, port=port)))
        families = await scrape_until(service, engine_is(up=1))
        assert value(families, "vllm:num_requests_running") == 2
    finally:
        await runner.cleanup()


async def test_an_engine_that_hangs_does_not_hold_up_ours(plan: Plan, serve: Serve, engine: Upstream) -> None:
    engine.go.clear()
    families = parsed(await scrape(await serve(plan)))
    assert value(families, "nim_engine_up") == 0
    assert engine.asked == ["/metrics"]


async def test_own_metrics_are_served_within_a_second_while_all_sources_hang(
    plan: Plan, serve: Serve, engine: Upstream
) -> None:
    """Engine, gateway and driver are waited for at once, not one after the other."""
    assert max(metrics.ENGINE_TIMEOUT_SECONDS, gpu_usage.NVML_TIMEOUT_SECONDS) < 1
    engine.go.clear()
    driver = Driver()
    driver.answers.clear()
    with socket.socket(socket.AF_UNIX) as gateway:
        gateway.bind(str(plan.file(STATUS_SOCKET)))
        gateway.listen()  # it is connected to, and never answers
        service = await serve(plan, Gpus(lambda: driver))
        took: list[float] = []
        while min(took, default=1) >= 1 and len(took) < 5:  # the machine may stand still meanwhile
            began = time.monotonic()
            families = parsed(await scrape(service))
            took.append(time.monotonic() - began)
    driver.answers.set()
    assert value(families, "nim_engine_up") == value(families, "nim_ready") == 0
    assert min(took) < 1, took


@pytest.mark.parametrize("fault", ["cut short", "refuses"])
async def test_half_an_answer_of_the_engine_is_none(
    plan: Plan, serve: Serve, engine: Upstream, fault: str
) -> None:
    engine.metrics = ENGINES
    engine.metrics_cut_short = fault == "cut short"
    engine.status = 200 if fault == "cut short" else 500
    families = parsed(await scrape(await serve(plan)))
    assert value(families, "nim_engine_up") == 0
    assert "vllm:num_requests_running" not in families


async def test_the_engine_comes_and_goes(plan: Plan, serve: Serve) -> None:
    assert plan.engine.socket is not None
    service = await serve(plan)
    for _ in range(2):
        upstream = Upstream(Path(plan.engine.socket))
        upstream.metrics = ENGINES
        async with upstream.up():
            await scrape_until(service, engine_is(up=1))
        await scrape_until(service, engine_is(up=0))


@pytest.mark.parametrize(
    ("theirs", "name"),
    [
        (b"# HELP nim_ready Theirs.\n# TYPE nim_ready gauge\nnim_ready 7.0\n", "nim_ready"),
        (b"nim_uptime_seconds 7.0\n", "nim_uptime_seconds"),
        (b'# TYPE nim_engine_restarts_total counter\nnim_engine_restarts_total{a="b"} 7.0\n', None),
    ],
)
async def test_a_name_that_the_engine_uses_too_stays_the_engine_s(
    plan: Plan, serve: Serve, engine: Upstream, theirs: bytes, name: str | None
) -> None:
    engine.metrics = theirs
    put_state(plan, state(restarts=(("unknown", 1),)))
    families = await scrape_until(await serve(plan), engine_is(up=1))
    assert value(families, name or "nim_engine_restarts") == 7
    assert len(families) > 5


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=3, max_size=3),
)
def test_any_name_survives_as_a_label(texts: list[str]) -> None:
    release, label, model = texts
    plan = SimpleNamespace(
        release=release,
        hash="0",
        profile=SimpleNamespace(label=label),
        model=SimpleNamespace(name=model, max_model_len=None),
        gateway=SimpleNamespace(rereads_files=False),
    )
    text = joined(None, of_service(plan, state()))  # type: ignore[arg-type]
    (sample,) = parsed(text)["nim_info"].samples
    assert sample.labels == {"release": release, "profile": label, "model": model, "plan": "0"}


@pytest.fixture
def nginx(plan: Plan, tmp_path: Path) -> Iterator[Path]:
    """Yield a real nginx that serves its own counts; its socket."""
    sock, conf = plan.file(STATUS_SOCKET), tmp_path / "nginx.conf"
    conf.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr;\n"
        "events {}\n"
        f"http {{ access_log off; server {{ listen unix:{sock}; location = /status {{ stub_status; }} }} }}\n"
    )
    process = Popen(["nginx", "-e", "stderr", "-p", str(tmp_path), "-c", str(conf)], stderr=DEVNULL)
    try:
        wait_for(sock.is_socket)
        yield sock
    finally:
        process.terminate()
        process.wait(GENEROUS_SECONDS)


async def test_nginx_s_own_counts(plan: Plan, serve: Serve, nginx: Path) -> None:
    service = await serve(plan)
    async with client(nginx) as direct:
        for _ in range(3):
            async with direct.get("/status") as answer:
                page = await answer.read()
        assert Connections.from_page(page) is not None
        families = await scrape_until(service, lambda families: "nim_gateway_requests" in families)
    assert value(families, "nim_gateway_requests") >= 4
    assert value(families, "nim_gateway_connections_accepted") >= 2
    assert value(families, "nim_gateway_connections_handled") >= 2
    assert value(families, "nim_gateway_connections", state="writing") == 1
    assert value(families, "nim_gateway_connections", state="waiting") >= 1
    assert value(families, "nim_gateway_connections", state="reading") == 0


@pytest.mark.parametrize("page", [None, b"", b"<html>404</html>", b"Active connections: many \n"])
def test_another_page_is_no_counts(page: bytes | None) -> None:
    assert Connections.from_page(page) is None


def gpu_names(families: Families) -> list[str]:
    return sorted(name for name in families if name.startswith("nim_gpu_"))


async def test_gpus_report_the_values_that_nvml_has(plan: Plan, serve: Serve) -> None:
    families = await scrape_until(await serve(plan, Gpus(Driver)), gpu_names)
    first = {"gpu": "0", "uuid": "GPU-0", "name": "NVIDIA H200"}
    assert {name: value(families, name, **first) for name in gpu_names(families)} == {
        "nim_gpu_memory_total_bytes": 1 << 37,
        "nim_gpu_memory_used_bytes": 1 << 30,
        "nim_gpu_power_watts": 123.456,
        "nim_gpu_temperature_celsius": 0,
        "nim_gpu_utilization_ratio": 0.37,
    }
    assert [len(families[name].samples) for name in gpu_names(families)] == [1] * 5


async def test_a_driver_that_hangs_costs_its_series_only(plan: Plan, serve: Serve) -> None:
    driver = Driver()
    driver.answers.clear()
    service = await serve(plan, Gpus(lambda: driver))
    for _ in range(2):
        families = parsed(await scrape(service))
        assert (gpu_names(families), value(families, "nim_ready")) == ([], 0)
    assert driver.counted == 1, "one thread waits for the driver, not one a scrape"
    driver.answers.set()
    await scrape_until(service, gpu_names)


@pytest.mark.parametrize("loaded", [None, SimpleNamespace(nvmlInit=None)])
async def test_no_gpu_is_no_series(plan: Plan, serve: Serve, loaded: Any) -> None:
    assert gpu_names(parsed(await scrape(await serve(plan, Gpus(lambda: loaded))))) == []


async def test_this_machine_s_own_gpus(plan: Plan, serve: Serve) -> None:
    nvml = load_nvml()
    count = nvml.nvmlDeviceGetCount() if nvml else 0
    families = parsed(await scrape(await serve(plan)))
    found = {sample.labels["gpu"] for name in gpu_names(families) for sample in families[name].samples}
    assert len(found) == count


def leave_behind(path: Path) -> None:
    """Create a socket file without a listener, as a killed engine leaves it."""
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))


async def test_the_socket_that_a_killed_engine_left_is_an_engine_down(plan: Plan, serve: Serve) -> None:
    assert plan.engine.socket is not None
    leave_behind(Path(plan.engine.socket))
    families = parsed(await scrape(await serve(plan)))
    assert (value(families, "nim_engine_up"), value(families, "nim_ready")) == (0, 0)
