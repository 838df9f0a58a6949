"""Probe windows and stop times are long enough for what they wait for."""

import math
import re

import pytest

from nim.data_paths import PROFILES
from nim.manifest import find_manifest
from nim.supervision.shutdown_budget import ShutdownBudget
from tests.deploy.files import ROOT, VALUES, Object, Pod, manifest, pod_of, values
from tests.deploy.helm import render
from tests.deploy.test_values import over

DOCUMENT = ROOT / "docs" / "kubernetes.md"
PLAIN = {"demo.yaml": "values-cpu.yaml", "llama-3.1-8b.yaml": "values-llama-3.1-8b.yaml"}
# A container with less than this after its own budget is killed in the middle of its last step.
LEAST_MARGIN_SECONDS = 5


def start_seconds(startup: Object) -> int:
    """Return what the values say that a start may take."""
    download = float(startup["downloadGB"]) * 1000 / float(startup["downloadMBps"])
    return math.ceil(download + float(startup["loadSeconds"]))


def window(probe: Object) -> int:
    """Return the least seconds from the container's start to the last allowed failure of a probe."""
    return int(probe["initialDelaySeconds"] + probe["periodSeconds"] * (probe["failureThreshold"] - 1))


def stated(name: str) -> int:
    return start_seconds(over(values(), values(name))["startup"])


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_manifest_grants_a_start_what_its_model_needs(name: str) -> None:
    probe = pod_of(manifest(name)).container["startupProbe"]
    assert stated(PLAIN[name]) <= window(probe) < stated(PLAIN[name]) + 2 * probe["periodSeconds"]


@pytest.mark.parametrize("name", VALUES)
def test_the_chart_grants_a_start_what_the_values_say(name: str) -> None:
    probe = pod_of(render(values(name))).container["startupProbe"]
    assert stated(name) <= window(probe) < stated(name) + 2 * probe["periodSeconds"]


@pytest.mark.parametrize(
    ("startup", "probe", "failures"),
    [
        ({"downloadGB": 0, "loadSeconds": 1}, {}, 1),
        ({"downloadGB": 0, "loadSeconds": 105}, {}, 11),
        ({"downloadGB": 0, "loadSeconds": 106}, {}, 12),
        ({"downloadGB": 0.5, "downloadMBps": 30, "loadSeconds": 100}, {"initialDelaySeconds": 0}, 13),
        ({"downloadGB": 1700, "downloadMBps": 1, "loadSeconds": 600}, {"periodSeconds": 1}, 1700596),
        ({}, {"failureThreshold": 7}, 7),
    ],
)
def test_the_window_is_rounded_up_and_can_be_overridden(
    startup: Object, probe: Object, failures: int
) -> None:
    rendered = pod_of(render({"startup": startup, "startupProbe": probe}))
    assert rendered.container["startupProbe"]["failureThreshold"] == failures


@pytest.mark.parametrize("name", VALUES)
def test_the_download_that_is_stated_is_no_smaller_than_the_manifests(name: str) -> None:
    said = over(values(), values(name))
    if not said["model"]["name"]:
        return  # the demo model is in the image
    found = find_manifest(said["model"]["name"], PROFILES)
    sizes = [profile.download_gb for profile in found.profiles]
    assert said["startup"]["downloadGB"] >= max(size for size in sizes if size is not None)


def test_the_figures_in_the_document_are_those_of_the_chart() -> None:
    rows = re.findall(
        r"^\| (\S.*?) \| (.*?) \| (\d+) s \| (\d+) s \| (\d+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE
    )
    assert [row[0].strip("`") for row in rows] == ["the defaults", *VALUES]
    for name, download, load, total, failures in rows:
        said = values(name.strip("`")) if name.startswith("`") else {}
        startup = over(values(), said)["startup"]
        size = (
            f"{startup['downloadGB']} GB at {startup['downloadMBps']} MB/s"
            if startup["downloadGB"]
            else "nothing"
        )
        assert (download, int(load), int(total)) == (size, startup["loadSeconds"], start_seconds(startup))
        assert pod_of(render(said)).container["startupProbe"]["failureThreshold"] == int(failures)


def granted(pod: Pod) -> int:
    seconds = pod.spec["terminationGracePeriodSeconds"]
    assert isinstance(seconds, int)
    return seconds


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_manifest_grants_a_stop_more_than_its_budget(name: str) -> None:
    pod = pod_of(manifest(name))
    budget = int(pod.env["NIM_SHUTDOWN_TIMEOUT"] or 0)
    assert granted(pod) == budget + LEAST_MARGIN_SECONDS


@pytest.mark.parametrize("shutdown", [{}, {"seconds": 28}, {"seconds": 1800000}, {"delaySeconds": 20}])
def test_the_chart_grants_a_stop_its_delay_its_budget_and_a_margin(shutdown: Object) -> None:
    pod = pod_of(render({"shutdown": shutdown}))
    said = over(values(), {"shutdown": shutdown})["shutdown"]
    assert pod.env["NIM_SHUTDOWN_TIMEOUT"] == str(said["seconds"])
    assert granted(pod) == said["delaySeconds"] + said["seconds"] + LEAST_MARGIN_SECONDS
    hook = pod.container.get("lifecycle")
    delay = said["delaySeconds"]
    assert hook == ({"preStop": {"exec": {"command": ["sleep", str(delay)]}}} if delay else None)


def test_the_parts_of_the_services_own_stop_are_no_more_than_its_budget() -> None:
    budget = ShutdownBudget.of(120, serving=True)
    assert budget.settle + budget.drain + budget.engine + budget.kill <= 120


def test_a_deployments_deadline_is_later_than_its_start() -> None:
    workload = manifest("demo.yaml")[0]["spec"]
    assert workload["progressDeadlineSeconds"] > stated("values-cpu.yaml")
    (rendered,) = [one for one in render(values("values-cpu.yaml")) if one["kind"] == "Deployment"]
    assert rendered["spec"]["progressDeadlineSeconds"] == workload["progressDeadlineSeconds"]
