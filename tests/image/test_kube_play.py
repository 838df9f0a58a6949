"""The plain manifest with the real image: podman runs the pod, the test sends the kubelet's probes.

Podman runs no probes by itself and knows no readiness.
"""

import http.client
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.deploy.files import Object, Pod, manifest, pod_of
from tests.gateway.nginx import free_port
from tests.image.container import COMMAND_SECONDS, READY_SECONDS
from tests.image.storage import IMAGE, Storage
from tests.kubelet import Event, Kubelet, ports_of

POD = "nim-demo-pod"
SHM = "/dev/shm"
PORTS = ("NIM_SERVER_PORT", "NIM_HEALTH_PORT")


@dataclass(frozen=True, slots=True)
class Played:
    """A pod that runs. `ports`: number in the manifest → where it is reached on this machine."""

    storage: Storage
    pod: Pod
    ports: dict[int, int]

    @property
    def name(self) -> str:
        return f"{POD}-{self.pod.container['name']}"

    def podman(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return podman(self.storage, *words)


def podman(storage: Storage, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [*storage.podman, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)


def as_pod(pod: Pod, moved: dict[int, int], volumes: list[Object]) -> Object:
    """Return the Deployment's pod alone, with our image, on this machine's network and free ports of it.

    Without probes: podman would make a health check of one, which wants a curl in the image.
    """
    left_out = ("ports", "startupProbe", "livenessProbe", "readinessProbe")
    container = {name: value for name, value in pod.container.items() if name not in left_out}
    env = [
        {**one, "value": str(moved[int(one["value"])])} if one["name"] in PORTS else one
        for one in pod.container["env"]
    ]
    container |= {"image": IMAGE, "imagePullPolicy": "Never", "env": env}
    spec = {**pod.spec, "containers": [container], "restartPolicy": "Never", "hostNetwork": True}
    spec["volumes"] = volumes
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec}


@contextmanager
def volumes_of(pod: Pod) -> Iterator[list[Object]]:
    """Yield each emptyDir as the kubelet makes it, in memory or on disk: podman's would be root's alone."""
    with ExitStack() as stack:
        made = []
        for volume in pod.spec["volumes"]:
            place = SHM if volume["emptyDir"].get("medium") == "Memory" else None
            path = stack.enter_context(tempfile.TemporaryDirectory(dir=place))
            os.chown(path, 0, pod.spec["securityContext"]["fsGroup"])
            Path(path).chmod(0o2777)
            made.append({"name": volume["name"], "hostPath": {"path": path, "type": "Directory"}})
        yield made


@pytest.fixture
def played(storage: Storage, tmp_path: Path) -> Iterator[Played]:
    """Yield the pod, running; removed in the end, with its volumes."""
    pod = pod_of(manifest("demo.yaml"))
    ports = {number: free_port() for number in pod.ports.values()}
    file = tmp_path / "pod.yaml"
    with volumes_of(pod) as volumes:
        file.write_text(yaml.safe_dump(as_pod(pod, ports, volumes)), encoding="utf-8")
        try:
            done = podman(storage, "kube", "play", str(file))
            assert done.returncode == 0, done.stderr
            yield Played(storage, pod, ports)
        finally:
            podman(storage, "pod", "rm", "--force", "--time", "5", POD)


def test_the_manifest_starts_is_ready_and_stops_within_its_grace(played: Played) -> None:
    kubelet = Kubelet(played.pod.container, ports_of(played.pod.container, played.ports))
    seen = list(kubelet.watch(until=lambda: kubelet.ready, seconds=READY_SECONDS))
    assert seen == [Event.STARTED, Event.READY], played.podman("logs", played.name).stderr[-4000:]
    assert _models(played.ports[8000]) == 200
    done = played.podman("stop", "--time", str(played.pod.spec["terminationGracePeriodSeconds"]), played.name)
    assert done.returncode == 0, done.stderr
    # Anything else would be its being killed.
    code = played.podman("inspect", "--format", "{{.State.ExitCode}}", played.name).stdout.strip()
    assert code == "0", played.podman("logs", played.name).stderr[-4000:]


def _models(port: int) -> int:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request("GET", "/v1/models")
        return link.getresponse().status
    finally:
        link.close()
