"""The conformance kit on the real service, and its metrics compared with the dashboard."""

import json
import subprocess
import sys
import time

import pytest

from tests.deploy.metrics import names, of_gpu, recorded
from tests.deploy.test_dashboard import expressions, used
from tests.e2e.conftest import ROOT, Service

pytestmark = pytest.mark.engine
DESCRIBED_SECONDS = 90


def test_the_service_conforms(service: Service) -> None:
    _wait_until_described(service)
    command = [sys.executable, "-m", "tests.conformance", "--url", service.root, "--json"]
    command += ["--health-url", f"http://127.0.0.1:{service.health_port}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    results = json.loads(done.stdout)
    assert not [one for one in results if one["verdict"] == "fail"]
    assert done.returncode == 0
    assert sum(one["verdict"] == "pass" for one in results) > 25


def _wait_until_described(service: Service) -> None:
    """Wait for the engine's OpenAPI document, which it makes when first asked."""
    deadline = time.monotonic() + DESCRIBED_SECONDS
    while service.get("/openapi.json")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(1)


def test_every_name_in_the_dashboard_is_among_its_metrics(service: Service) -> None:
    found = names(service.get("/v1/metrics")[1].decode()) | of_gpu()
    wanted = {name for _, expression in expressions() for name in used(expression)}
    assert wanted <= found


def test_the_recorded_names_are_those_it_has(service: Service) -> None:
    assert recorded() <= names(service.get("/v1/metrics")[1].decode()), "python -m tests.deploy.metrics URL"
