"""Every metric in the dashboard, autoscaler and adapter rules is exported by the service."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from nim.engine import load_options
from tests.deploy.files import DEPLOY, manifest, read_all
from tests.deploy.helm import render
from tests.deploy.metrics import OURS, RECORDED, of_gpu, recorded

DASHBOARD: Any = json.loads((DEPLOY / "grafana" / "nim.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Yield panel and query."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


def used(expression: str) -> set[str]:
    """Return the names of metrics in a query: words that are neither functions nor labels."""
    bare = re.sub(r"\{[^}]*\}|\bby \([^)]*\)", "", expression)
    return {word for word in re.findall(r"[a-zA-Z_][\w:]*", bare) if OURS.match(word)}


def test_there_is_a_name_in_each_expression() -> None:
    assert all(used(expression) for _, expression in expressions())


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_each_name_is_exported_by_the_real_service(title: str, expression: str) -> None:
    assert used(expression) <= recorded() | of_gpu(), title


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_rates_are_taken_of_what_only_grows(title: str, expression: str) -> None:
    for name in re.findall(r"(?:rate|increase)\(([\w:]+)", expression):
        assert name.endswith(("_total", "_bucket", "_sum", "_count")), title
    for name in re.findall(r"histogram_quantile\([^)]*?\b([\w:]+)\{", expression):
        assert name.endswith("_bucket"), title
    for left, right in ("()", "{}", "[]"):
        assert expression.count(left) == expression.count(right)


def test_the_names_were_recorded_from_the_engine_that_is_pinned() -> None:
    first = RECORDED.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(f"# vLLM {load_options().version},"), "python -m tests.deploy.metrics URL"


def test_an_invented_name_would_be_noticed() -> None:
    assert used('rate(vllm:invented_total{a="b"}[5m])') == {"vllm:invented_total"}
    assert not used("vllm:invented_total") <= recorded() | of_gpu()


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        pos = panel["gridPos"]
        cells = {(pos["x"] + x, pos["y"] + y) for x in range(pos["w"]) for y in range(pos["h"])}
        assert not cells & taken, panel["title"]
        assert pos["x"] + pos["w"] <= 24
        taken |= cells


def test_the_autoscaler_asks_for_what_the_adapter_makes_of_a_real_metric() -> None:
    (values,) = read_all((DEPLOY / "kubernetes" / "prometheus-adapter.yaml").read_text(encoding="utf-8"))
    (rule,) = values["rules"]["custom"]
    (series,) = used(rule["seriesQuery"])
    assert series in recorded()
    assert re.fullmatch(rule["name"]["matches"], series)
    plain = manifest("autoscaling.yaml")[0]
    (rendered,) = [one for one in render({"autoscaling": {"enabled": True}}) if one["kind"] == plain["kind"]]
    for one in (plain, rendered):
        (metric,) = one["spec"]["metrics"]
        assert metric["pods"]["metric"]["name"] == rule["name"]["as"]


def test_the_autoscaler_scales_something_that_is_there() -> None:
    target = manifest("autoscaling.yaml")[0]["spec"]["scaleTargetRef"]
    workload = manifest("llama-3.1-8b.yaml")[0]
    assert (target["kind"], target["name"]) == (workload["kind"], workload["metadata"]["name"])
