"""The plain manifest on the real image: podman makes the pod, the kubelet's part is played by the test.

NIM_TEST_IMAGE names the image; ports 8000 and 8081 must be free. Podman runs no probes by itself
and knows no readiness.
"""

import http.client
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy.files import Object, Pod, manifest, pod_of
from tests.kubelet import Event, Kubelet, ports_of

pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]
START_SECONDS = 600.0
STOP_SECONDS = 60.0
POD = "nim-demo-pod"
PODMAN = os.environ.get("PODMAN", "podman").split()


@pytest.fixture
def image() -> str:
    name = os.environ.get("NIM_TEST_IMAGE", "")
    if not name:
        pytest.skip("no image: NIM_TEST_IMAGE names none")
    if shutil.which(PODMAN[0]) is None:
        pytest.skip("no podman")
    if podman("image", "exists", name).returncode:
        pytest.skip(f"no image: podman does not have {name}")
    return name


def podman(*words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """With the options that PODMAN has, such as `podman --runtime runc`."""
    return subprocess.run([*PODMAN, *words], capture_output=True, text=True, timeout=seconds, check=False)


def as_pod(objects: list[Object], image: str) -> Object:
    """The Deployment's pod alone, with this image, on this machine's network.

    Without probes: podman would make a health check of one, which wants a curl in the image.
    """
    spec = pod_of(objects).spec
    left_out = ("ports", "startupProbe", "livenessProbe", "readinessProbe")
    container = {name: value for name, value in spec["containers"][0].items() if name not in left_out}
    container |= {"image": image, "imagePullPolicy": "Never"}
    body = {**spec, "containers": [container], "restartPolicy": "Never", "hostNetwork": True}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": body}


@pytest.fixture
def played(image: str, tmp_path: Path) -> Iterator[Pod]:
    """The pod, running; removed in the end."""
    objects = manifest("demo.yaml")
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump(as_pod(objects, image)), encoding="utf-8")
    done = podman("kube", "play", str(file))
    try:
        assert done.returncode == 0, done.stderr
        yield pod_of(objects)
    finally:
        podman("pod", "rm", "--force", "--time", "5", POD)


def test_the_manifest_starts_is_ready_and_stops_within_its_grace(played: Pod) -> None:
    kubelet = Kubelet(played.container, ports_of(played.container))
    seen = list(kubelet.watch(until=lambda: kubelet.ready, seconds=START_SECONDS))
    assert seen == [Event.STARTED, Event.READY], podman("pod", "logs", POD).stdout[-4000:]
    assert _models() == 200
    name = f"{POD}-{played.container['name']}"
    begun = time.monotonic()
    done = podman("stop", "--time", str(played.spec["terminationGracePeriodSeconds"]), name, seconds=200)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < STOP_SECONDS
    code = podman("inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip()
    assert code == "0", podman("logs", name).stderr[-4000:]


def _models() -> int:
    link = http.client.HTTPConnection("127.0.0.1", 8000, timeout=10)
    try:
        link.request("GET", "/v1/models")
        return link.getresponse().status
    finally:
        link.close()
