"""The chart's values against its schema, and what the schema refuses."""

import json
from typing import Any

import jsonschema
import pytest

from nim.settings import declared, read_settings
from nim.settings.read_secrets import SECRETS
from tests.deploy.files import CHART, VALUES, Object, pod_of, values
from tests.deploy.helm import Refused, notes, render
from tests.deploy.test_schemas import SETTINGS

SCHEMA: Any = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def over(defaults: Object, changes: Object) -> Object:
    """Return values merged over defaults as Helm does: mappings merge, null removes."""
    merged = dict(defaults)
    for key, value in changes.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = over(old, value) if both and isinstance(old, dict) else value
    return {key: value for key, value in merged.items() if value is not None or key not in changes}


READ_ONLY: Object = {"nfs": {"enabled": True, "server": "a", "path": "/b", "readOnly": True}}


@pytest.mark.parametrize("setting", SETTINGS)
def test_values_and_examples_fit_the_schema(setting: str) -> None:
    jsonschema.validate(over(values(), SETTINGS[setting]), SCHEMA)


@pytest.mark.parametrize("name", VALUES)
def test_an_example_changes_something(name: str) -> None:
    assert over(values(), values(name)) != values()


def test_each_value_is_in_the_schema_and_each_of_the_schema_is_a_value() -> None:
    assert set(SCHEMA["properties"]) - {"global"} == set(values())


def test_the_secrets_are_those_that_are_declared() -> None:
    assert SCHEMA["properties"]["extraSecrets"]["items"]["properties"]["name"]["enum"] == list(SECRETS)


@pytest.mark.parametrize(
    "bad",
    [
        {"modle": {}},
        {"model": {"logLevel": "loud"}},
        {"model": {"openaiPort": 70000}},
        {"persistence": {"size": 50}},
        {"persistence": {"accessMode": "ReadWrite"}},
        {"startup": {"downloadMBps": 0}},
        {"shutdown": {"seconds": "two minutes"}},
        {"livenessProbe": {"failureThreshold": None}},
        {"startupProbe": {"successThreshold": 2}},
        {"livenessProbe": {"successThreshold": 2}},
        {"secretsAs": "plain"},
        {"extraSecrets": [{"name": "MY_SECRET", "secret": "a", "key": "b"}]},
        {"nfs": {"enabled": True}},
        {"ingress": {"enabled": True}},
    ],
)
def test_bad_values_are_refused_before_anything_is_rendered(bad: Object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(over(values(), bad), SCHEMA)
    with pytest.raises(Refused, match=next(iter(bad))):
        render(bad)


def test_several_nodes_are_refused_in_words() -> None:
    with pytest.raises(Refused, match="cannot spread one model over several nodes yet"):
        render({"multiNode": {"enabled": True}})


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"model": {"healthPort": 8000}}, "model.healthPort: cannot be 8000, which is model.openaiPort"),
        ({"model": {"nimCache": "/tmp/"}}, "model.nimCache: cannot be /tmp/, where another volume"),
        ({"autoscaling": {"enabled": True, "minReplicas": 5}}, "cannot be 5 with maxReplicas 4"),
        (
            {"env": [{"name": "NIM_RUN_DIR", "value": "/x"}]},
            "env: cannot set NIM_RUN_DIR, which the chart sets itself; leave it out",
        ),
        (
            {"model": {"name": "a"}, "env": [{"name": "NIM_MODEL_NAME", "value": "b"}]},
            "NIM_MODEL_NAME, which the chart sets itself; use model.name",
        ),
        (
            {"model": {"hfTokenSecret": "hf"}, "env": [{"name": "HF_TOKEN_FILE", "value": "/x"}]},
            "HF_TOKEN_FILE, which the chart sets itself; HF_TOKEN comes from the Secret hf",
        ),
        (
            {**READ_ONLY, "env": [{"name": "NIM_DISABLE_MODEL_DOWNLOAD", "value": "0"}]},
            "NIM_DISABLE_MODEL_DOWNLOAD, which the chart sets itself; leave it out",
        ),
    ],
)
def test_values_that_do_not_go_together_are_refused_in_words(bad: Object, words: str) -> None:
    with pytest.raises(Refused, match=words):
        render(bad)


def resources_of(resources: Object | None) -> Object:
    found: Object = pod_of(render({"resources": resources})).container.get("resources", {})
    return found


MIG, GPU = "nvidia.com/mig-1g.10gb", "nvidia.com/gpu"


@pytest.mark.parametrize(
    ("resources", "limits"),
    [
        ({}, {GPU: 1}),
        ({"limits": {MIG: 1}}, {MIG: 1}),
        ({"requests": {MIG: 1}}, {MIG: 1}),
        ({"limits": {MIG: 1, "memory": "64Gi"}}, {MIG: 1, "memory": "64Gi"}),
        ({"limits": {"nvidia.com/gpu.shared": 2}}, {"nvidia.com/gpu.shared": 2}),
        ({"limits": {"volcano.sh/vgpu-number": 1}}, {"volcano.sh/vgpu-number": 1}),
        ({"limits": {GPU: None, "memory": "8Gi"}}, {"memory": "8Gi"}),
        ({"limits": {GPU: 4, "rdma/hca": 1}}, {GPU: 4, "rdma/hca": 1}),
        ({"limits": {"nvidia.com/gpumem": 3000}}, {GPU: 1, "nvidia.com/gpumem": 3000}),
        ({"limits": {"nvidia.com/gpumem-percentage": 50}}, {GPU: 1, "nvidia.com/gpumem-percentage": 50}),
        ({"limits": {"nvidia.com/hostdev": 1}}, {GPU: 1, "nvidia.com/hostdev": 1}),
        ({"requests": {GPU: 2}}, {GPU: 2}),
        ({"requests": {"cpu": "2"}}, {GPU: 1}),
        ({"claims": [{"name": "gpu"}]}, {}),
    ],
)
def test_a_requested_device_replaces_the_default_gpu(resources: Object, limits: Object) -> None:
    found = resources_of(resources)
    assert found.get("limits", {}) == limits
    assert found.get("requests", {}) == resources.get("requests", {})
    assert found.get("claims") == resources.get("claims")


def test_no_resources_at_all() -> None:
    assert resources_of(None) == {}


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"limits": {MIG: 1, GPU: 2}}, f"cannot ask for {GPU} beside {MIG}"),
        ({"limits": {MIG: 1}, "requests": {GPU: 1}}, f"cannot ask for {GPU} beside {MIG}"),
        ({"limits": {GPU: 4}, "requests": {GPU: 2}}, f"cannot ask for 2 {GPU} with a limit of 4"),
        ({"limits": {MIG: 2}, "requests": {MIG: 1}}, f"cannot ask for 1 {MIG} with a limit of 2"),
    ],
)
def test_devices_that_no_node_gives_are_refused(resources: Object, words: str) -> None:
    with pytest.raises(Refused, match=words):
        render({"resources": resources})


@pytest.mark.slow
@pytest.mark.parametrize("secrets", ["env", "file"])
def test_no_variable_that_the_chart_writes_can_be_written_again(secrets: str) -> None:
    """Kubernetes would take the second, and what follows from the first would be wrong."""
    setting = {
        **READ_ONLY,
        "model": {"name": "a", "modelPath": "b", "profile": "c", "hfTokenSecret": "d", "ngcAPISecret": "e"},
        "extraSecrets": [{"name": "VLLM_API_KEY", "secret": "keys", "key": "k"}],
        "secretsAs": secrets,
    }
    names = set(pod_of(render(setting)).env)
    names |= {other for one in declared().values() if one.name in names for other in one.quiet_aliases}
    for name in sorted(name for name in names if secrets == "env" or name.endswith("_FILE")):
        with pytest.raises(Refused, match=f"env: cannot set {name}, which the chart sets itself; "):
            render({**setting, "env": [{"name": name, "value": "x"}]})


def test_other_variables_can_be_set() -> None:
    env = [{"name": "NIM_MODEL_PATH", "value": "hf://a/b"}, {"name": "HF_TOKEN", "value": "x"}]
    assert pod_of(render({"env": env})).env.items() >= {"NIM_MODEL_PATH": "hf://a/b", "HF_TOKEN": "x"}.items()


SECRETS_ASKED_FOR: Object = {
    "model": {"hfTokenSecret": "hf", "ngcAPISecret": "ngc"},
    "extraSecrets": [{"name": "VLLM_API_KEY", "secret": "keys", "key": "api-key"}],
}
WHERE_THEY_ARE = {
    "HF_TOKEN": ("hf", "HF_TOKEN"),
    "NGC_API_KEY": ("ngc", "NGC_API_KEY"),
    "VLLM_API_KEY": ("keys", "api-key"),
}


def test_secrets_as_variables_name_their_secret_and_its_key() -> None:
    pod = pod_of(render(SECRETS_ASKED_FOR))
    refs = {
        entry["name"]: entry["valueFrom"]["secretKeyRef"]
        for entry in pod.container["env"]
        if "valueFrom" in entry
    }
    assert {name: (ref["name"], ref["key"]) for name, ref in refs.items()} == WHERE_THEY_ARE
    assert not any(volume["name"] == "secrets" for volume in pod.spec["volumes"])


def test_secrets_as_files_are_mounted_at_the_paths_in_the_variables() -> None:
    pod = pod_of(render({**SECRETS_ASKED_FOR, "secretsAs": "file"}))
    (mount,) = [mount for mount in pod.container["volumeMounts"] if mount["name"] == "secrets"]
    (volume,) = [volume for volume in pod.spec["volumes"] if volume["name"] == "secrets"]
    files = {}
    for source in volume["projected"]["sources"]:
        (item,) = source["secret"]["items"]
        files[f"{mount['mountPath']}/{item['path']}"] = (source["secret"]["name"], item["key"])
    assert {pod.env[f"{name}_FILE"]: where for name, where in WHERE_THEY_ARE.items()} == files
    assert not set(pod.env) & set(WHERE_THEY_ARE)
    assert mount["readOnly"] is True


def test_each_log_level_is_one_that_the_service_takes() -> None:
    levels = SCHEMA["properties"]["model"]["properties"]["logLevel"]["enum"]
    assert "TRACE" in levels
    for level in levels:
        assert not read_settings({"NIM_LOG_LEVEL": level}).warnings


@pytest.mark.parametrize(("given", "written"), [("", None), ("fast", "fast"), ("-", "")])
def test_a_storage_class_may_be_none_at_all(given: str, written: str | None) -> None:
    objects = render({"persistence": {"enabled": True, "storageClass": given}})
    (claim,) = pod_of(objects).workload["spec"]["volumeClaimTemplates"]
    assert claim["spec"].get("storageClassName") == written


def test_a_cache_that_is_read_only_is_neither_downloaded_nor_compiled_into() -> None:
    pod = pod_of(render(READ_ONLY))
    assert pod.env["NIM_DISABLE_MODEL_DOWNLOAD"] == "1"
    mounts = {mount["mountPath"] for mount in pod.container["volumeMounts"]}
    assert (pod.env["NIM_RUNTIME_CACHE_PATH"] or "").rpartition("/")[0] in mounts - {
        pod.env["NIM_CACHE_PATH"]
    }
    (volume,) = [volume for volume in pod.spec["volumes"] if volume["name"] == "cache"]
    assert volume["nfs"]["readOnly"] is True
    # Of the first that is enabled, which may be another.
    other = pod_of(render({**READ_ONLY, "persistence": {"enabled": True}}))
    assert "NIM_DISABLE_MODEL_DOWNLOAD" not in other.env


@pytest.mark.parametrize(
    ("mode", "strategy"),
    [
        ("ReadWriteOnce", {"type": "Recreate"}),
        ("ReadWriteOncePod", {"type": "Recreate"}),
        ("ReadWriteMany", None),
    ],
)
def test_a_volume_for_one_pod_is_given_back_first(mode: str, strategy: Object | None) -> None:
    setting = {"statefulSet": {"enabled": False}, "persistence": {"enabled": True, "accessMode": mode}}
    assert pod_of(render(setting)).workload["spec"].get("strategy") == strategy


def test_the_readiness_probe_may_ask_for_several_successes() -> None:
    assert render({"readinessProbe": {"successThreshold": 2}})
    assert render({"autoscaling": {"enabled": False, "minReplicas": 5}})


def test_the_notes_state_the_times_and_the_cost_of_an_empty_dir() -> None:
    assert "A start may take 1500 s" in notes()
    assert "A stop may take 125 s" in notes()
    assert "downloads its model again" in notes()
    assert "downloads its model again" not in notes({"persistence": {"enabled": True}})


def test_the_times_are_those_of_the_probe_that_there_is() -> None:
    given = {"startupProbe": {"failureThreshold": 7}, "statefulSet": {"enabled": False}}
    assert "A start may take 65 s (startupProbe.failureThreshold)" in notes(given)
    assert pod_of(render(given)).workload["spec"]["progressDeadlineSeconds"] == 665
    assert "There is no startup probe" in notes({"startupProbe": {"enabled": False}})
