"""The runtime for KServe in docs/kubernetes.md agrees with what the service declares."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from nim.routes import LIVE, READY, ROUTES, STARTUP
from nim.settings import read_settings
from nim.settings.declared import declared
from tests.unit.planning.checks.test_check_options import plan_of

ROOT = Path(__file__).resolve().parents[2]
NAMES = {name for setting in declared().values() for name in setting.names}


@pytest.fixture
def runtime() -> Any:
    text = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (block,) = [found for found in blocks if "ServingRuntime" in found]
    return yaml.safe_load(block)["spec"]


def test_ports_probes_and_metrics_are_those_of_the_service(runtime: Any) -> None:
    (container,) = runtime["containers"]
    assert container["name"] == "kserve-container"
    probes = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")
    }
    assert probes == {"startup": STARTUP, "readiness": READY, "liveness": LIVE}
    ports = {container[f"{name}Probe"]["httpGet"]["port"] for name in probes}
    annotations = runtime["annotations"]
    assert {str(port) for port in ports} == {annotations["prometheus.kserve.io/port"]} == {"8080"}
    assert annotations["prometheus.kserve.io/path"] in {route.path for route in ROUTES}


def test_a_start_with_its_variables_serves_the_name_and_port(runtime: Any, tmp_path: Path) -> None:
    env = {each["name"]: each["value"] for each in runtime["containers"][0]["env"]}
    assert set(env) <= NAMES
    env["NIM_SERVED_MODEL_NAME"] = env["NIM_SERVED_MODEL_NAME"].replace("{{.Name}}", "my-service")
    assert read_settings(env).model_path == env["NIM_MODEL_PATH"] == "/mnt/models"
    del env["NIM_MODEL_PATH"]  # as KServe mounts it, and not here
    plan = plan_of(tmp_path, **env)
    assert plan.gateway.server_port == 8080
    assert plan.config["served_model_name"].value == ["my-service"]
