"""Manifests, chart, Compose file and quadlet agree with each other, and with what the service declares."""

import configparser
import json
import os
import re
import subprocess
from typing import Any

import pytest
import yaml

from nim import __version__
from nim.preflight.run_start_checks import WORKER_SHM_BYTES
from nim.routes import LIVE, READY, ROUTES, STARTUP
from nim.settings import read_settings
from nim.settings.declared import declared
from nim.settings.read_secrets import SECRETS
from tests.deploy.files import CHART, DEPLOY, Object, Pod, manifest, pod_of, read_all, values
from tests.deploy.helm import render
from tests.deploy.test_schemas import EVERYTHING
from tests.deploy.test_times import PLAIN

NAMES = {name for setting in declared().values() for name in setting.names}
IMAGE_CACHE = "/opt/nim/.cache"
SECRET_NAMES = {form for name in SECRETS for form in (name, f"{name}_FILE")}


def compose() -> dict[str, Object]:
    """Return the services of the Compose file."""
    (document,) = read_all((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    services: dict[str, Object] = document["services"]
    return services


def quadlet() -> list[tuple[str, str, str]]:
    """Return section, key and value of each line; keys may repeat."""
    lines, section = [], ""
    for line in (DEPLOY / "nim-llm.container").read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            lines.append((section, key, value))
    return lines


def environments() -> dict[str, dict[str, str | None]]:
    """Return every environment that is shipped."""
    found = {name: pod_of(manifest(name)).env for name in (*PLAIN, "fetch.yaml")}
    found |= {f"compose {name}": service["environment"] for name, service in compose().items()}
    words = [value.partition("=") for _, key, value in quadlet() if key == "Environment"]
    found["quadlet"] = {name: value for name, _, value in words}
    return found


def check_environment(env: dict[str, str | None]) -> None:
    """Check that each variable is declared and that the service accepts its value."""
    assert set(env) <= NAMES | SECRET_NAMES
    ours = {name: value for name, value in env.items() if value is not None and name in NAMES}
    assert not read_settings(ours).warnings


@pytest.mark.parametrize("name", environments())
def test_each_variable_is_declared_and_its_value_is_taken(name: str) -> None:
    check_environment(environments()[name])


@pytest.mark.parametrize("setting", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_so_is_each_that_the_chart_writes(setting: Object) -> None:
    check_environment(pod_of(render(setting)).env)


def test_each_variable_in_a_comment_or_a_template_is_declared() -> None:
    for path in [path for path in DEPLOY.rglob("*") if path.is_file() and path.parent.name != "image"]:
        written = set(re.findall(r"\bNIM_[A-Z_]+\b", path.read_text(encoding="utf-8")))
        assert written <= NAMES | {"NIM_IMAGE", "NIM_GPU_IMAGE"}, path.name


def check_pod(pod: Pod) -> None:
    """Check that ports, paths and directories agree wherever they occur."""
    container, env = pod.container, pod.env
    assert str(pod.ports["http-openai"]) == env["NIM_SERVER_PORT"]
    assert str(pod.ports["health"]) == env["NIM_HEALTH_PORT"]
    paths = {"startupProbe": STARTUP, "livenessProbe": LIVE, "readinessProbe": READY}
    for name, path in paths.items():
        assert container[name]["httpGet"] == {"path": path, "port": "health"}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {env["NIM_CACHE_PATH"], "/tmp", "/dev/shm"} <= set(mounts)
    # Not the volume itself: others may enter that, and the service refuses such a directory.
    assert (env["NIM_RUN_DIR"] or "").rpartition("/")[0] in mounts


def check_security(pod: Pod) -> None:
    """Check the pod against Kubernetes' restricted policy, with a read-only root file system."""
    security = pod.container["securityContext"]
    assert security == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod.spec["securityContext"]["runAsNonRoot"] is True
    assert pod.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod.spec["enableServiceLinks"] is False
    assert pod.spec["automountServiceAccountToken"] is False
    (shm,) = [volume for volume in pod.spec["volumes"] if volume["name"] == "shm"]
    assert shm["emptyDir"]["medium"] == "Memory"


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_manifest_agrees_with_itself_and_the_service(name: str) -> None:
    check_pod(pod_of(manifest(name)))
    check_security(pod_of(manifest(name)))


def test_the_chart_does_so_with_ports_and_places_of_ones_own() -> None:
    model = {"openaiPort": 9000, "healthPort": 9001, "nimCache": "/cache"}
    pod = pod_of(render({"model": model, "statefulSet": {"enabled": False}}))
    check_pod(pod)
    check_security(pod)
    assert pod.ports == {"http-openai": 9000, "health": 9001}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_manifest_is_what_the_chart_renders(name: str) -> None:
    plain, rendered = pod_of(manifest(name)), pod_of(render(values(PLAIN[name])))
    assert plain.spec == rendered.spec
    assert plain.workload["kind"] == rendered.workload["kind"]
    assert _claims(plain) == _claims(rendered)


def _claims(pod: Pod) -> Any:
    return pod.workload["spec"].get("volumeClaimTemplates")


@pytest.mark.parametrize("name", PLAIN)
def test_a_service_leads_to_its_pods(name: str) -> None:
    objects = manifest(name)
    (service,) = [one for one in objects if one["kind"] == "Service"]
    pod = pod_of(objects)
    assert service["spec"]["selector"] == pod.workload["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["ports"][0]["targetPort"] in pod.ports


def test_metrics_are_scraped_where_they_are() -> None:
    (plain,) = manifest("monitoring.yaml")
    rendered = render({"metrics": {"serviceMonitor": {"enabled": True}}})
    (monitor,) = [one for one in rendered if one["kind"] == "ServiceMonitor"]
    (service,) = [one for one in rendered if one["kind"] == "Service"]
    assert plain["spec"]["endpoints"] == monitor["spec"]["endpoints"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["path"] in {route.path for route in ROUTES}
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (expression,) = plain["spec"]["selector"]["matchExpressions"]
    names = {one["metadata"]["labels"][expression["key"]] for name in PLAIN for one in manifest(name)}
    assert set(expression["values"]) == names


def test_a_test_pod_is_not_taken_for_a_server() -> None:
    rendered = render()
    (service,) = [one for one in rendered if one["kind"] == "Service"]
    (pod,) = [one for one in rendered if one["kind"] == "Pod"]
    assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


def test_the_release_is_one_and_the_same() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == __version__
    tags = re.findall(r"\bnim:([\w.]+)-(?:cpu|gpu)\b", "".join(_texts()))
    assert tags
    assert set(tags) == {__version__}
    assert values("values-cpu.yaml")["image"]["tag"] == f"{__version__}-cpu"


def _texts() -> list[str]:
    files = [DEPLOY / "compose.yaml", DEPLOY / "nim-llm.container", *(DEPLOY / "kubernetes").iterdir()]
    return [file.read_text(encoding="utf-8") for file in files]


@pytest.mark.parametrize("name", ["demo", "llama"])
def test_compose_grants_a_stop_more_than_its_budget(name: str) -> None:
    service = compose()[name]
    budget = int(service["environment"]["NIM_SHUTDOWN_TIMEOUT"])
    assert service["stop_grace_period"] == f"{budget + 5}s"


def test_compose_is_as_restricted() -> None:
    for service in compose().values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"].split(":")[0] != "0"
        writable = [mount.split(":")[0] for mount in service["tmpfs"]]
        assert service["environment"]["NIM_RUN_DIR"].rpartition("/")[0] in writable
        assert "/tmp" in writable
        assert int(service["shm_size"].removesuffix("gb")) * 2**30 >= WORKER_SHM_BYTES
        (cache,) = service["volumes"]
        assert cache.endswith(f":{IMAGE_CACHE}")


def test_the_quadlet_is_as_restricted() -> None:
    said = [(key, value) for section, key, value in quadlet() if section == "Container"]
    assert {
        ("User", "1000"),
        ("Group", "1000"),
        ("ReadOnly", "true"),
        ("DropCapability", "all"),
        ("NoNewPrivileges", "true"),
    } <= set(said)
    env = environments()["quadlet"]
    writable = {value.partition(":")[0] for key, value in said if key == "Tmpfs"}
    assert writable == {"/tmp", (env["NIM_RUN_DIR"] or "").rpartition("/")[0]}
    (cache,) = [value for key, value in said if key == "Volume"]
    assert cache.endswith(f":{IMAGE_CACHE}")
    (options,) = [value for key, value in said if key == "PodmanArgs"]
    (size,) = re.findall(r"--shm-size=(\d+)g\b", options)
    assert int(size) * 2**30 >= WORKER_SHM_BYTES


def test_the_quadlet_grants_a_stop_more_than_its_budget() -> None:
    said = {key: value for section, key, value in quadlet() if section == "Service"}
    (budget,) = [int(value.partition("=")[2]) for _, _, value in quadlet() if "NIM_SHUTDOWN_TIMEOUT" in value]
    (options,) = [value for _, key, value in quadlet() if key == "PodmanArgs"]
    assert f"--stop-timeout={budget + 5}" in options
    assert int(said["TimeoutStopSec"]) > budget + 5
    parser = configparser.ConfigParser(strict=False, delimiters="=", interpolation=None)
    parser.read_string((DEPLOY / "nim-llm.container").read_text(encoding="utf-8"))
    assert parser.sections() == ["Unit", "Container", "Service", "Install"]


def test_the_job_fetches_what_the_service_chooses() -> None:
    """The same model, cache and security as the service's pod; the profile that an H100 would run."""
    job, service = pod_of(manifest("fetch.yaml")), pod_of(manifest("llama-3.1-8b.yaml"))
    assert job.spec["securityContext"] == service.spec["securityContext"]
    assert job.container["securityContext"] == service.container["securityContext"]
    assert job.env.items() <= service.env.items()
    assert job.container["image"] == service.container["image"]
    named = {name: value for name, value in job.env.items() if value} | {"NIM_CACHE_PATH": "/tmp/cache"}
    env = dict(os.environ) | named | {"NIM_DISABLE_MODEL_DOWNLOAD": "1"}
    command = [str(DEPLOY.parent / "entrypoint.sh")]
    fetch = [*command, *job.container["args"], "--dry-run", "--json"]
    plan = [*command, "plan", "--gpus", "1xH100", "--json"]
    would, will = (
        json.loads(subprocess.run(one, env=env, stdout=subprocess.PIPE, check=True).stdout)
        for one in (fetch, plan)
    )
    assert [row["source"] for row in would["sources"]] == [will["model"]["source"]]
    cache = will["config"]["HF_HOME"]["value"]
    assert {row["directory"].startswith(f"{cache}/hub/models--") for row in would["sources"]} == {True}
