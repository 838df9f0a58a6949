"""The chart's values have the names of NVIDIA's chart; differences are listed."""

import re
from collections.abc import Iterator

from tests.deploy.files import CHART, ROOT, Object, values

DOCUMENT = ROOT / "docs" / "kubernetes.md"
PROBE = "enabled path initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold"
# NIM's values, as far as they are public, by what they stand below.
OF_NIM = {
    "": "affinity containerSecurityContext customArgs customCommand env extraVolumeMounts extraVolumes "
    "healthPort imagePullSecrets initContainers nodeSelector podAnnotations podSecurityContext replicaCount "
    "resources tolerations",
    "autoscaling": "enabled minReplicas maxReplicas metrics",
    "hostPath": "enabled path",
    "image": "repository tag pullPolicy",
    "ingress": "enabled className annotations hosts tls",
    "livenessProbe": f"{PROBE} method command",
    "metrics": "enabled",
    "metrics.serviceMonitor": "enabled additionalLabels",
    "model": "name modelPath profile ngcAPISecret ngcAPIKey hfTokenSecret jsonLogging logLevel nimCache "
    "openaiPort labels legacyCompat numGpus subPath modelStorePath",
    "multiNode": "enabled workers tensorParallelSize pipelineParallelSize ray clusterStartTimeout "
    "gpusPerNode leaderWorkerSet mpiJob optimized",
    "nfs": "enabled server path readOnly",
    "persistence": "enabled existingClaim storageClass accessMode size annotations "
    "stsPersistentVolumeClaimRetentionPolicy",
    "readinessProbe": PROBE,
    "service": "type name openaiPort annotations labels",
    "serviceAccount": "create name annotations",
    "startupProbe": PROBE,
    "statefulSet": "enabled",
}
# Every chart that `helm create` began has these two.
HELMS = {"nameOverride", "fullnameOverride"}


def of_nim() -> set[str]:
    return {f"{above}.{name}".lstrip(".") for above, names in OF_NIM.items() for name in names.split()}


def of_ours(found: Object, above: str = "") -> Iterator[str]:
    """Yield the names of all values, except those below a name of NIM's chart."""
    for name, value in found.items():
        path = f"{above}.{name}".lstrip(".")
        if isinstance(value, dict) and value and path not in of_nim():
            yield from of_ours(value, path)
        else:
            yield path


def marked() -> set[str]:
    """Return what a comment calls ours, above it or beside it."""
    found: set[str] = set()
    comment, above = "", list[str]()
    for line in (CHART / "values.yaml").read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("#"):
            comment += line
            continue
        if match := re.match(r"( *)(\w+):", line):
            above = [*above[: len(match[1]) // 2], match[2]]
            if re.search(r"\bours\b", comment + line.partition("#")[2], re.IGNORECASE):
                found.add(".".join(above))
        comment = ""
    return found


def under(name: str) -> set[str]:
    """Return the name and all that it stands below."""
    parts = name.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}


def test_each_value_of_nims_chart_is_supported_or_listed_as_missing() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    absent = of_nim() - set(of_ours(values()))
    assert {"initContainers", "model.ngcAPIKey"} <= absent
    assert [name for name in sorted(absent) if f"`{name}`" not in text] == []


def test_each_value_of_ours_alone_is_marked() -> None:
    own = set(of_ours(values())) - of_nim() - HELMS
    assert "sharedMemory.sizeLimit" in own
    known = marked()
    assert [one for one in sorted(own) if not known & under(one)] == []


def test_nothing_of_nims_is_marked() -> None:
    assert not marked() & of_nim()
