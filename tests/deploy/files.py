"""Read the files in deploy/."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "nim-llm"
PROXY_CHART = DEPLOY / "helm" / "nim-proxy"
MANIFESTS = (
    "demo.yaml",
    "llama-3.1-8b.yaml",
    "fetch.yaml",
    "proxy.yaml",
    "monitoring.yaml",
    "autoscaling.yaml",
)
VALUES = ("values-cpu.yaml", "values-llama-3.1-8b.yaml", "values-nemotron-3-ultra.yaml")
WORKLOADS = ("Deployment", "StatefulSet", "Job")

Object = dict[str, Any]


class Strict(yaml.SafeLoader):
    """YAML takes a key that is written twice, and Kubernetes' own reader does not."""


def _mapping(loader: Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    twice = {key for key in keys if keys.count(key) > 1}
    assert not twice, f"written twice: {sorted(twice)}, {node.start_mark}"
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, True): loader.construct_object(value, True) for key, value in node.value
    }


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_all(text: str) -> list[Object]:
    """Return every document."""
    return [document for document in yaml.load_all(text, Strict) if document]


def manifest(name: str) -> list[Object]:
    """Return a plain manifest's objects."""
    return read_all((DEPLOY / "kubernetes" / name).read_text(encoding="utf-8"))


def values(name: str = "values.yaml", chart: Path = CHART) -> Object:
    """Return the chart's values, or an example's."""
    (document,) = read_all((chart / name).read_text(encoding="utf-8"))
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """The pod of a workload and its only container."""

    workload: Object

    @property
    def spec(self) -> Object:
        spec: Object = self.workload["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Object:
        (container,) = self.spec["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def env(self) -> dict[str, str | None]:
        """Return name → value of a container's variables; None for those from a secret."""
        return {entry["name"]: entry.get("value") for entry in self.container["env"]}

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}


def pods(objects: list[Object]) -> Iterator[Pod]:
    """Yield the pods of every workload."""
    yield from (Pod(workload=one) for one in objects if one["kind"] in WORKLOADS)


def pod_of(objects: list[Object]) -> Pod:
    """Return the pod of the only workload."""
    (pod,) = pods(objects)
    return pod
