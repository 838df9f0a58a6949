"""Checks of the management routes in the form that the operator and other readers parse."""

import re
from typing import Any

from tests.conformance.check import Check, check, expect
from tests.conformance.manifest import problems
from tests.conformance.target import Target

MANAGEMENT: list[Check] = []
DOCUMENTED = "NIM documentation, management routes"
OPERATOR = "NIM operator"
ROUTES = ("/v1/metadata", "/v1/version", "/v1/license", "/v1/manifest", "/v1/metrics")

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\.)*"'
_SAMPLE = re.compile(rf"{_NAME}(?:\{{(?:{_LABEL}(?:,{_LABEL})*,?)?\}})? +\S+(?: +-?\d+)?")


@check(MANAGEMENT, "models is a list with names", f"{OPERATOR}, reading /v1/models", "C8")
def models(target: Target) -> str:
    page = target.page("/v1/models")
    expect(page.get("object") == "list", f"object is {page.get('object')!r}, not 'list'")
    entries = page.get("data")
    expect(isinstance(entries, list) and entries, "data has no entry")
    for entry in entries:
        expect(isinstance(entry.get("id"), str) and entry["id"], f"an entry has no id: {entry}")
    return ", ".join(entry["id"] for entry in entries)


@check(MANAGEMENT, "among several models the base is found", f"{OPERATOR}, reading /v1/models", "C8")
def base_model(target: Target) -> None:
    """Check that an adapter's root is another model than itself."""
    entries = target.page("/v1/models")["data"]
    bases = [one for one in entries if one.get("object") == "model" and one.get("root") == one["id"]]
    expect(len(entries) == 1 or bases, "no entry has object 'model' and a root equal to its id")


@check(MANAGEMENT, "metadata names the model", f"{OPERATOR}, reading /v1/metadata", "C6", "C7")
def metadata(target: Target) -> str:
    info = target.page("/v1/metadata").get("modelInfo")
    expect(isinstance(info, list) and info, f"modelInfo is {info!r}")
    name = str(info[0].get("shortName", "")).partition(":")[0] or info[0].get("modelUrl")
    expect(name, "modelInfo[0] has neither shortName nor modelUrl")
    return str(name)


@check(MANAGEMENT, "version names release and API", DOCUMENTED, "C6")
def version(target: Target) -> str:
    page = target.page("/v1/version")
    for key in ("release", "api"):
        expect(isinstance(page.get(key), str) and page[key], f"{key} is {page.get(key)!r}")
    return str(page["release"])


@check(MANAGEMENT, "license has its text", DOCUMENTED, "C6")
def license_text(target: Target) -> None:
    page = target.page("/v1/license")
    expect(isinstance(page, dict), "not an object")
    expect(page.get("content"), "content is empty")


@check(MANAGEMENT, "manifest has profiles", DOCUMENTED, "C6", "C10")
def manifest(target: Target) -> str:
    found = problems(target.page("/v1/manifest"))
    expect(not found, "; ".join(found[:3]))
    return ""


@check(MANAGEMENT, "metrics are Prometheus text", DOCUMENTED, "C6")
def metrics(target: Target) -> str:
    answer = target.get("/v1/metrics")
    expect(answer.status == 200, f"answers {answer.status}")
    kind = answer.headers.get("content-type", "")
    expect(kind.startswith(("text/plain", "application/openmetrics-text")), f"Content-Type is {kind!r}")
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    bad = next((line for line in lines if not _is_sample(line)), None)
    expect(bad is None, f"no sample: {bad!r}")
    expect(lines, "there is no sample")
    return f"{len(lines)} samples"


def _is_sample(line: str) -> bool:
    if not _SAMPLE.fullmatch(line):
        return False
    value = line.rpartition("}")[2].split() if "}" in line else line.split()[1:]
    try:
        float(value[0].replace("Inf", "inf"))
    except ValueError:
        return False
    return True


@check(MANAGEMENT, "openapi.json lists them", "NIM documentation, since 2.0.2", "C6")
def openapi(target: Target) -> None:
    paths: dict[str, Any] = target.page("/openapi.json").get("paths", {})
    missing = [route for route in ROUTES if route not in paths]
    expect(not missing, f"without {', '.join(missing)}")
