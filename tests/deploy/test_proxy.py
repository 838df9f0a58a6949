"""The proxy's chart, manifest and Compose file: valid, restricted, and what a real proxy starts with."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nim import __version__
from nim.proxy.read_backends import Document, parse_backends
from nim.proxy.upkeep.follow_kubernetes import PORT_NAMES
from nim.routes import LIVE, READY, ROUTES
from tests.deploy.files import DEPLOY, PROXY_CHART, Object, Pod, manifest, pod_of, read_all, values
from tests.deploy.helm import Refused, notes, render
from tests.deploy.test_consistency import check_environment
from tests.deploy.test_schemas import RELEASES, validate
from tests.deploy.test_tools import compose
from tests.deploy.test_values import over
from tests.gateway.nginx import free_port
from tests.proxy.backend import Backend
from tests.proxy.kubernetes_api import SERVICES, SLICES, KubernetesApi
from tests.proxy.running import Proxy

SCHEMA: Any = json.loads((PROXY_CHART / "values.schema.json").read_text(encoding="utf-8"))
NAMED: Object = {
    "name": "elsewhere",
    "urls": ["https://api.example.com/v1"],
    "models": ["example/large"],
    "aliases": {"large": "example/large"},
    "key_env": "ELSEWHERE_KEY",
    "routing": "prefix",
}
EVERYTHING: Object = {
    "image": {"tag": "0.1.0-gpu"},
    "imagePullSecrets": [{"name": "registry"}],
    "backends": [NAMED, {"name": "old", "models": ["example/old"], "state": "retired"}],
    "kubernetes": {"namespace": "models", "selector": "team=a"},
    "backendKeys": [{"name": "ELSEWHERE_KEY", "secret": "keys", "key": "2026"}],
    "apiKeysSecret": "clients",
    "shutdown": {"delaySeconds": 10},
    "service": {"type": "NodePort", "labels": {"a": "b"}, "annotations": {"a": "b"}},
    "serviceAccount": {"annotations": {"a": "b"}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"a": "b"},
        "hosts": [{"host": "llm.example.com", "paths": [{"path": "/"}]}],
        "tls": [{"hosts": ["llm.example.com"], "secretName": "tls"}],
    },
    "metrics": {"serviceMonitor": {"enabled": True, "additionalLabels": {"release": "prometheus"}}},
    "env": [{"name": "NIM_PROXY_READ_TIMEOUT", "value": "600"}],
    "extraVolumes": {"tls": {"secret": {"secretName": "tls"}}},
    "extraVolumeMounts": {"tls": {"mountPath": "/tls"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "nodeSelector": {"kind": "small"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "high",
}
ALONE: Object = {"backends": [{"name": "a", "urls": ["http://a:8000"]}], "kubernetes": {"enabled": False}}
BARE: Object = {
    **ALONE,
    "serviceAccount": {"create": False},
    "podDisruptionBudget": {"enabled": False},
    "podSecurityContext": None,
    "containerSecurityContext": None,
}
SETTINGS: dict[str, Object] = {"defaults": {}, "everything": EVERYTHING, "named only": ALONE, "bare": BARE}


def objects(setting: Object | None = None) -> list[Object]:
    return render(setting, PROXY_CHART)


def one_of(found: list[Object], kind: str) -> Object:
    (one,) = [each for each in found if each["kind"] == kind]
    return one


def document_in(found: list[Object]) -> Document:
    """Return the backends that the proxy is given."""
    return parse_backends(one_of(found, "ConfigMap")["data"]["backends.yaml"], "backends.yaml")


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_what_the_chart_renders_is_valid(setting: str, release: str) -> None:
    for one in objects(SETTINGS[setting]):
        validate(one, release)


def test_each_template_is_rendered_by_a_setting() -> None:
    made = {one["kind"] for setting in SETTINGS.values() for one in objects(setting)}
    written = {
        line.removeprefix("kind: ")
        for path in (PROXY_CHART / "templates").rglob("*.yaml")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("kind: ")
    }
    assert made == written


@pytest.mark.parametrize("setting", SETTINGS)
def test_values_fit_the_schema(setting: str) -> None:
    defaults = values(chart=PROXY_CHART)
    jsonschema.validate(over(defaults, SETTINGS[setting]), SCHEMA)
    assert set(SCHEMA["properties"]) - {"global"} == set(defaults)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"backend": []}, "backend"),
        ({"backends": [{"urls": ["http://a"]}]}, "name"),
        ({"backends": [{"name": "a", "urls": ["ftp://a"]}]}, "urls"),
        ({"backends": [{"name": "a", "state": "gone"}]}, "state"),
        ({"kubernetes": {"selector": ""}}, "selector"),
        ({"livenessProbe": {"failureThreshold": None}}, "failureThreshold"),
        ({"kubernetes": {"enabled": False}}, "nothing would be behind the proxy"),
        ({"healthPort": 8000}, "healthPort: cannot be 8000, which is openaiPort"),
        ({"backends": [NAMED]}, "cannot find ELSEWHERE_KEY, the key_env of elsewhere, in backendKeys"),
        (
            {"service": {"labels": {"app.nvidia.com/nim-type": "inference"}}},
            "would send requests to itself",
        ),
        (
            {"env": [{"name": "NIM_PROXY_BACKENDS", "value": "[]"}]},
            "which the chart sets itself; use backends",
        ),
        (
            {"apiKeysSecret": "a", "env": [{"name": "NIM_API_KEYS_FILE", "value": "/x"}]},
            "NIM_API_KEYS_FILE, which the chart sets itself; it comes from the Secret a",
        ),
    ],
)
def test_values_that_cannot_work_are_refused_in_words(bad: Object, words: str) -> None:
    with pytest.raises(Refused, match=words):
        objects(bad)


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_proxy_can_read_its_backends(setting: str) -> None:
    document = document_in(objects(SETTINGS[setting]))
    wanted = over(values(chart=PROXY_CHART), SETTINGS[setting])
    assert [backend.name for backend in document.backends] == [one["name"] for one in wanted["backends"]]
    watched = document.kubernetes
    assert (watched is not None) == wanted["kubernetes"]["enabled"]
    if watched:
        assert watched.namespace == (wanted["kubernetes"]["namespace"] or "default")
        assert watched.selector == wanted["kubernetes"]["selector"]
    if document.backends and document.backends[0].key_env:
        assert document.backends[0].key_env in pod_of(objects(SETTINGS[setting])).env


@pytest.mark.parametrize("setting", ["defaults", "everything", "named only"])
def test_the_account_may_do_what_the_watch_needs_and_nothing_else(setting: str) -> None:
    found = objects(SETTINGS[setting])
    document, account = document_in(found), one_of(found, "ServiceAccount")
    spec = pod_of(found).spec
    assert spec["serviceAccountName"] == account["metadata"]["name"]
    assert spec["automountServiceAccountToken"] is (document.kubernetes is not None)
    if document.kubernetes is None:
        assert not {"Role", "RoleBinding"} & {one["kind"] for one in found}
        return
    role, binding = one_of(found, "Role"), one_of(found, "RoleBinding")
    allowed = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    kinds = (("", "services"), ("discovery.k8s.io", "endpointslices"))
    assert allowed == {(*kind, verb) for kind in kinds for verb in ("list", "watch")}
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == document.kubernetes.namespace
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == (account["metadata"]["name"], "default")


@pytest.mark.parametrize("found", ["chart", "manifest"])
def test_the_pod_is_restricted_and_its_ports_and_probes_are_those_of_the_proxy(found: str) -> None:
    pod = pod_of(objects() if found == "chart" else manifest("proxy.yaml"))
    check_environment(pod.env)
    assert pod.spec["securityContext"]["runAsNonRoot"] is True
    assert pod.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod.spec["enableServiceLinks"] is False
    assert pod.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod.ports == {
        "http-openai": int(pod.env["NIM_SERVER_PORT"] or 0),
        "health": int(pod.env["NIM_HEALTH_PORT"] or 0),
    }
    assert pod.container["livenessProbe"]["httpGet"] == {"path": LIVE, "port": "health"}
    assert pod.container["readinessProbe"]["httpGet"] == {"path": READY, "port": "health"}
    assert pod.spec["terminationGracePeriodSeconds"] == int(pod.env["NIM_SHUTDOWN_TIMEOUT"] or 0) + 5
    mounts = {mount["mountPath"] for mount in pod.container["volumeMounts"]}
    assert mounts == {"/etc/nim-proxy", "/tmp", "/run/nim"}
    assert pod.container["args"] == ["proxy", "/etc/nim-proxy/backends.yaml"]


def test_the_plain_manifest_is_what_the_chart_renders() -> None:
    plain, rendered = manifest("proxy.yaml"), objects({"fullnameOverride": "nim-proxy"})
    assert pod_of(plain).spec == pod_of(rendered).spec
    for kind in ("ConfigMap", "Role", "PodDisruptionBudget", "Service"):
        one, other = one_of(plain, kind), one_of(rendered, kind)
        for part in ("data", "rules"):
            assert one.get(part) == other.get(part)
        assert one.get("spec", {}).get("ports") == other.get("spec", {}).get("ports")
    assert f"nim:{__version__}-cpu" == pod_of(rendered).container["image"]


def test_the_first_charts_services_are_found() -> None:
    """Their label is the proxy's selector, their port's name is known; a label of one's own wins."""
    watched = document_in(objects()).kubernetes
    assert watched
    name, _, value = watched.selector.partition("=")
    for found in (render(), manifest("demo.yaml"), manifest("llama-3.1-8b.yaml")):
        service = one_of(found, "Service")
        assert service["metadata"]["labels"][name] == value
        assert service["spec"]["ports"][0]["name"] in PORT_NAMES
    hidden = one_of(render({"service": {"labels": {name: "none"}}}), "Service")
    assert hidden["metadata"]["labels"][name] == "none"


def test_the_monitor_finds_the_proxys_metrics() -> None:
    found = objects(EVERYTHING)
    (endpoint,) = one_of(found, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["path"] in {route.path for route in ROUTES}
    assert endpoint["port"] in {port["name"] for port in one_of(found, "Service")["spec"]["ports"]}


def test_the_notes_say_what_to_type() -> None:
    said = notes(EVERYTHING, PROXY_CHART)
    assert "2 named backends and to the Services labelled\nteam=a in the namespace models." in said
    assert "exec deployment/demo-nim-proxy -- nim proxy status" in said
    assert "A stop may take 135 s" in said


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    served = KubernetesApi().start()
    yield served
    served.stop()


def start_as(pod: Pod, backends: str, directory: Path, **more: str) -> Proxy:
    """Return a proxy that runs with a pod's variables; ports and directory are this machine's."""
    ports = {"NIM_SERVER_PORT", "NIM_HEALTH_PORT", "NIM_RUN_DIR"}
    env = {name: value for name, value in pod.env.items() if value is not None and name not in ports}
    return Proxy(directory, backends, **env, NIM_HEALTH_PORT=str(free_port()), **more)


def test_a_proxy_runs_with_what_the_chart_renders(api: KubernetesApi, tmp_path: Path) -> None:
    """The backends of its ConfigMap, an API server that speaks list and watch, and the pod's probes."""
    backend, named = Backend("org/found").start(), Backend("org/named").start()
    setting = {
        "backends": [{"name": "named", "urls": [named.url]}],
        "kubernetes": {"namespace": "nim"},
    }
    found = objects(setting)
    labels = {"app.nvidia.com/nim-type": "inference"}
    api.set(SERVICES, "found", labels, spec={})
    endpoints = [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]
    ports = [{"name": "http-openai", "port": backend.port}]
    slices = {"kubernetes.io/service-name": "found"}
    api.set(SLICES, "found-1", slices, addressType="IPv4", endpoints=endpoints, ports=ports)
    pod, text = pod_of(found), one_of(found, "ConfigMap")["data"]["backends.yaml"]
    proxy = start_as(pod, text, tmp_path, KUBECONFIG=api.config(tmp_path / "config"))
    try:
        proxy.wait_said("ready: ")
        proxy.wait_ready(2)
        assert sorted(proxy.models()) == ["org/found", "org/named"]
        assert proxy.chat("org/found").json["from"] == backend.label
        health = int(proxy.env["NIM_HEALTH_PORT"])
        for name in ("livenessProbe", "readinessProbe"):
            path = pod.container[name]["httpGet"]["path"]
            with urllib.request.urlopen(f"http://127.0.0.1:{health}{path}", timeout=20) as answer:
                assert answer.status == 200
    finally:
        code = proxy.stop()
        backend.stop()
        named.stop()
    assert code == 0, proxy.text


def compose_services() -> dict[str, Object]:
    (document,) = read_all((DEPLOY / "compose-proxy.yaml").read_text(encoding="utf-8"))
    services: dict[str, Object] = document["services"]
    return services


def test_compose_puts_two_models_behind_a_proxy() -> None:
    services = compose_services()
    for service in services.values():
        check_environment(service["environment"])
        budget = int(service["environment"]["NIM_SHUTDOWN_TIMEOUT"])
        assert service["stop_grace_period"] == f"{budget + 5}s"
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    document = parse_backends(services["proxy"]["environment"]["NIM_PROXY_BACKENDS"], "NIM_PROXY_BACKENDS")
    assert {url for one in document.backends for url in one.urls} == {
        f"http://{name}:8000" for name in services if name != "proxy"
    }
    assert len(document.backends) == 2
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]


def test_compose_reads_its_file(tmp_path: Path) -> None:
    command = [*compose(), "--file", str(DEPLOY / "compose-proxy.yaml"), "config"]
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "NIM_PROXY_BACKENDS" in done.stdout
