"""Backends found in Kubernetes: by list and watch, across lost watches, old versions and a broken server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.launch import wait_until
from tests.proxy.backend import Backend
from tests.proxy.conftest import StartBackend, StartProxy
from tests.proxy.kubernetes_api import SERVICES, SLICES, KubernetesApi

pytest.importorskip("kubernetes_asyncio")

NIM = {"app.nvidia.com/nim-type": "inference"}
FILE = "kubernetes: {namespace: nim}\n"


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    server = KubernetesApi().start()
    yield server
    server.stop()


def serve(api: KubernetesApi, name: str, *backends: Backend, ready: bool = True, **meta: Any) -> None:
    """Add a Service with a slice for each of these backends."""
    api.set(SERVICES, name, NIM, meta=meta, spec={})
    for number, one in enumerate(backends):
        endpoints = [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}]
        labels = {"kubernetes.io/service-name": name}
        ports = [{"name": "metrics", "port": 1}, {"name": "api", "port": one.port}]
        api.set(SLICES, f"{name}-{number}", labels, addressType="IPv4", endpoints=endpoints, ports=ports)


def test_services_come_and_go(
    api: KubernetesApi, start_backend: StartBackend, start_proxy: StartProxy, tmp_path: Path
) -> None:
    a, b, c = start_backend("org/a"), start_backend("org/a"), start_backend("org/c")
    serve(api, "a", a, annotations={"nim-proxy/routing": "prefix"})
    api.set(SERVICES, "other", {"app": "other"}, spec={})
    proxy = start_proxy(FILE, KUBECONFIG=api.config(tmp_path / "config")).wait_ready(1)
    wait_until(lambda: proxy.models() == ["org/a"], "the model")
    assert proxy.backends()[0]["routing"] == "prefix"
    assert proxy.chat("org/a").json["from"] == a.label
    serve(api, "a", a, b)
    proxy.wait_ready(2)
    serve(api, "c", c)
    wait_until(lambda: "org/c" in proxy.models(), "the new service")
    assert proxy.chat("org/c").json["from"] == c.label
    api.remove(SERVICES, "c")
    wait_until(lambda: proxy.chat("org/c").status == 404, "its end")
    serve(api, "a", a, ready=False)
    wait_until(lambda: proxy.ready_count() == 1, "one endpoint less")
    assert {proxy.chat("org/a").json["from"] for _ in range(4)} == {b.label}
    assert proxy.stop() == 0, proxy.text


@pytest.mark.slow
def test_a_lost_watch_an_old_version_and_a_broken_server(
    api: KubernetesApi, start_backend: StartBackend, start_proxy: StartProxy, tmp_path: Path
) -> None:
    a, b, c = start_backend("org/a"), start_backend("org/b"), start_backend("org/c")
    serve(api, "a", a)
    proxy = start_proxy(FILE, KUBECONFIG=api.config(tmp_path / "config")).wait_ready(1)
    api.cut(forget=False)
    serve(api, "b", b)
    wait_until(lambda: "org/b" in proxy.models(), "the service after a lost watch")
    lists = api.lists
    api.oldest = 10_000  # every version is too old: 410 Gone
    api.cut(forget=False)
    wait_until(lambda: api.gone > 0 and api.lists > lists, "new lists")
    api.oldest = 0
    api.broken = True
    api.cut(forget=False)
    proxy.wait_said("cannot follow the")
    assert proxy.chat("org/a").status == proxy.chat("org/b").status == 200  # what is known stays
    serve(api, "c", c)
    api.broken = False
    wait_until(lambda: "org/c" in proxy.models(), "the service after the failure")
    assert proxy.stop() == 0, proxy.text


def test_without_a_cluster_the_proxy_says_what_is_missing(start_proxy: StartProxy, tmp_path: Path) -> None:
    proxy = start_proxy(FILE, KUBECONFIG=str(tmp_path / "none"))
    proxy.wait_said("cannot find backends in Kubernetes")
    assert proxy.process.wait(60) == 70


def test_a_change_of_what_is_watched_takes_effect(
    api: KubernetesApi, start_backend: StartBackend, start_proxy: StartProxy, tmp_path: Path
) -> None:
    a, b, c = start_backend("org/a"), start_backend("org/b"), start_backend("org/c")
    named = f"backends: [{{name: c, urls: ['{c.url}']}}]\n"
    serve(api, "a", a)
    serve(api, "b", b)
    api.set(SERVICES, "b", {"team": "b"}, spec={})
    proxy = start_proxy(named, KUBECONFIG=api.config(tmp_path / "config")).wait_ready(1)
    assert proxy.models() == ["org/c"]
    proxy.write(f"{named}{FILE}")
    wait_until(lambda: proxy.models() == ["org/c", "org/a"], "the services with the usual label")
    assert proxy.chat("org/a").json["from"] == a.label
    proxy.write(f"{named}kubernetes: {{namespace: nim, selector: team=b}}\n")
    wait_until(lambda: proxy.models() == ["org/c", "org/b"], "those with another label")
    wait_until(lambda: api.open == 2, "the old watches' end")
    proxy.write(named)
    wait_until(lambda: proxy.models() == ["org/c"], "nothing from Kubernetes")
    wait_until(lambda: api.open == 0, "the end of all watches")
    assert proxy.stop() == 0, proxy.text


def test_a_cluster_that_cannot_be_reached_is_refused_as_a_change(
    start_backend: StartBackend, start_proxy: StartProxy, tmp_path: Path
) -> None:
    a = start_backend("org/a")
    named = f"backends: [{{name: a, urls: ['{a.url}']}}]\n"
    proxy = start_proxy(named, KUBECONFIG=str(tmp_path / "none")).wait_ready(1)
    proxy.write(f"{named}{FILE}")
    assert "cannot find backends in Kubernetes" in proxy.wait_said("the backends stay as they were")
    assert proxy.chat("org/a").status == 200
    assert proxy.stop() == 0, proxy.text
