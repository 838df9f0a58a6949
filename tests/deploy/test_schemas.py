"""Every object against Kubernetes' own schemas, of the oldest release the chart admits and of the newest."""

import json
from functools import cache
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.deploy.files import CHART, MANIFESTS, VALUES, Object, manifest, read_all, values
from tests.deploy.helm import render

RELEASES = ("1.26", "1.37")
EVERYTHING: Object = {
    "secretsAs": "file",
    "extraSecrets": [{"name": "VLLM_API_KEY", "secret": "keys", "key": "2026"}],
    "model": {"hfTokenSecret": "hf", "ngcAPISecret": "ngc", "modelPath": "hf://org/name"},
    "persistence": {"enabled": True, "storageClass": "fast", "annotations": {"a": "b"}},
    "serviceAccount": {"create": True, "annotations": {"a": "b"}},
    "service": {"type": "NodePort", "labels": {"a": "b"}, "annotations": {"a": "b"}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"a": "b"},
        "hosts": [{"host": "llm.example.com", "paths": [{"path": "/"}]}],
        "tls": [{"hosts": ["llm.example.com"], "secretName": "tls"}],
    },
    "metrics": {
        "serviceMonitor": {"enabled": True, "additionalLabels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "additionalLabels": {"release": "prometheus"}},
    },
    "autoscaling": {"enabled": True},
    "podDisruptionBudget": {"enabled": True},
    "imagePullSecrets": [{"name": "registry"}],
    "customCommand": ["nim"],
    "customArgs": ["--max-num-seqs", "4"],
    "env": [{"name": "NIM_MAX_MODEL_LEN", "value": "8192"}],
    "extraVolumes": {"adapters": {"nfs": {"server": "a", "path": "/b"}}},
    "extraVolumeMounts": {"adapters": {"mountPath": "/adapters"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "nodeSelector": {"gpu": "h100"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "runtimeClassName": "nvidia",
    "priorityClassName": "high",
    "shutdown": {"delaySeconds": 10},
}
SETTINGS: dict[str, Object] = {
    "defaults": {},
    **{name: values(name) for name in VALUES},
    "everything": EVERYTHING,
    "everything as a Deployment": EVERYTHING | {"statefulSet": {"enabled": False}},
    "a key that is a number": {"extraSecrets": [{"name": "VLLM_API_KEY", "secret": "keys", "key": "2026"}]},
    "host path": {"hostPath": {"enabled": True}},
    "nfs": {"nfs": {"enabled": True, "server": "a", "path": "/b"}},
    "emptyDir with a limit": {"emptyDir": {"sizeLimit": "20Gi"}},
    "a claim of one's own": {"persistence": {"enabled": True, "existingClaim": "mine"}},
    "contexts left to OpenShift": {"podSecurityContext": None, "containerSecurityContext": None},
}

# The Prometheus operator's schema is in no package: this much of it is what we use.
TEXT = {"type": "string", "minLength": 1}
SERVICE_MONITOR: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["selector", "endpoints"],
    "properties": {
        "selector": {"type": "object"},
        "endpoints": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["port", "path"],
                "properties": dict.fromkeys(("port", "path", "interval", "scrapeTimeout"), TEXT),
            },
        },
    },
}
STRINGS = {"type": "object", "additionalProperties": TEXT}
PROMETHEUS_RULE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["groups"],
    "properties": {
        "groups": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "rules"],
                "properties": {
                    "name": TEXT,
                    "rules": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["alert", "expr", "labels", "annotations"],
                            "properties": dict.fromkeys(("alert", "expr", "for"), TEXT)
                            | dict.fromkeys(("labels", "annotations"), STRINGS),
                        },
                    },
                },
            },
        },
    },
}
OPERATORS = {"ServiceMonitor": SERVICE_MONITOR, "PrometheusRule": PROMETHEUS_RULE}


def validate(one: Object, release: str) -> None:
    """Raise for an object that an API server of that release would refuse."""
    if schema := OPERATORS.get(one["kind"]):
        jsonschema.validate(one["spec"], schema)
    else:
        _validate(json.dumps(one), release)


@cache
def _validate(text: str, release: str) -> None:
    """Validate one object; cached, because most objects repeat and a schema has two megabytes."""
    kubernetes_validate.validate(json.loads(text), release, strict=True)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", MANIFESTS)
def test_the_plain_manifests_are_valid(name: str, release: str) -> None:
    for one in manifest(name):
        validate(one, release)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_what_the_chart_renders_is_valid(setting: str, release: str) -> None:
    objects = render(SETTINGS[setting])
    assert objects
    for one in objects:
        validate(one, release)


def test_everything_has_every_kind() -> None:
    """Else a template could be broken and nobody would see it."""
    made = {one["kind"] for setting in SETTINGS.values() for one in render(setting)}
    kinds = {
        kind
        for path in (CHART / "templates").rglob("*.yaml")
        for kind in (
            "PersistentVolumeClaim",
            *OPERATORS,
            "Ingress",
            "PodDisruptionBudget",
            "ServiceAccount",
        )
        if f"kind: {kind}" in path.read_text(encoding="utf-8")
    }
    assert kinds | {"Deployment", "StatefulSet", "HorizontalPodAutoscaler", "Service", "Pod"} == made


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "template", "spec", "containers", 0, "livenesProbe"), {}),
        (("spec", "template", "spec", "terminationGracePeriodSeconds"), "125"),
        (("spec", "replica"), 1),
    ],
)
def test_the_schemas_would_notice(path: tuple[str | int, ...], value: object) -> None:
    workload = manifest("demo.yaml")[0]
    target: Any = workload
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(workload, RELEASES[-1])


def test_a_key_that_is_written_twice_is_noticed() -> None:
    with pytest.raises(AssertionError, match="written twice"):
        read_all("a: 1\na: 2\n")
