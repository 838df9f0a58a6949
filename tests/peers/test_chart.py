"""checkov's rules for Kubernetes on the rendered chart: each failure is one that was decided upon."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import CHART, PROXY_CHART, VALUES, values
from tests.deploy.helm import text
from tests.peers.tools import CHECKOV, environment, program

# Rule → why the chart does otherwise.
DECIDED = {
    "CKV_K8S_21": "the namespace is the one that Helm is told, here the default one",
    "CKV_K8S_43": "an image is named by its tag in the values; a digest may be set there",
    "CKV_K8S_15": "`image.pullPolicy` is the user's; a fixed tag need not be pulled again",
    "CKV_K8S_11": "a limit of CPU time would throttle the engine in the middle of a step",
    "CKV_K8S_13": "the memory that a model needs is set with the values of the model",
    "CKV_K8S_40": "user 1000 owns the files in caches that other NIM images have written",
    "CKV_K8S_35": "secrets are variables as in NVIDIA's chart; `secretsAs: file` mounts them",
    "CKV2_K8S_6": "which peers may connect depends on the cluster",
    "CKV_K8S_38": "of the proxy, which asks the API server with its token",
    "CKV_K8S_8": "of the pod of `helm test`, which ends by itself",
    "CKV_K8S_9": "of the pod of `helm test`, which ends by itself",
    "CKV_K8S_10": "of the pod of `helm test`, which asks one URL",
    "CKV_K8S_12": "of the pod of `helm test`, which asks one URL",
}


@pytest.mark.parametrize("name", ["", *VALUES, "the proxy"])
def test_checkov_finds_nothing_that_was_not_decided(name: str, tmp_path: Path) -> None:
    chart = PROXY_CHART if name == "the proxy" else CHART
    rendered = text(values(name) if name in VALUES else {}, chart)
    (tmp_path / "chart.yaml").write_text(rendered, encoding="utf-8")
    report = _report(tmp_path)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 50
    failed = {check["check_id"]: check["check_name"] for check in report["results"]["failed_checks"]}
    assert {rule: failed[rule] for rule in failed if rule not in DECIDED} == {}


def _report(directory: Path) -> Any:
    """Return checkov's report on the manifests in a directory; its exit code is 1 for any failure."""
    command = [program(CHECKOV, "checkov"), "-d", ".", "--framework", "kubernetes", "--skip-download"]
    done = subprocess.run(
        [*command, "--compact", "-o", "json"],
        cwd=directory,
        env=environment(directory),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)
