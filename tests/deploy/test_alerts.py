"""Each alert of the chart fires when it should and not otherwise, judged by promtool."""

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import CHART, Object, read_all
from tests.deploy.helm import render
from tests.deploy.metrics import recorded
from tests.deploy.promtool import check_rules, promtool
from tests.deploy.test_dashboard import used

JOB, NAMESPACE, POD = "demo-nim-llm", "default", "10.0.0.1:8000"
LABELS = f'job="{JOB}",namespace="{NAMESPACE}",instance="{POD}"'
RESTARTS, STALLS, READY = "nim_engine_restarts_total", "nim_engine_stalls_total", "nim_ready"
CACHE, PROMPTS, CONTEXT = (
    "vllm:kv_cache_usage_perc",
    "vllm:request_prompt_tokens_bucket",
    "nim_context_length_tokens",
)
EXPIRY = "nim_tls_certificate_expiry_timestamp_seconds"
DAY = 86400


def rules(values: Object | None = None) -> Object:
    """Return the rules of the chart as it renders them."""
    metrics = {"metrics": {"prometheusRule": {"enabled": True}}}
    (rule,) = [one for one in render({**metrics, **(values or {})}) if one["kind"] == "PrometheusRule"]
    spec: Object = rule["spec"]
    return spec


def by_name(values: Object | None = None) -> dict[str, Object]:
    return {rule["alert"]: rule for group in rules(values)["groups"] for rule in group["rules"]}


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    more = "".join(f',{label}="{value}"' for label, value in labels.items())
    return {"series": f"{name}{{{LABELS}{more}}}", "values": values}


def prompts(*shares: tuple[str, int]) -> list[dict[str, str]]:
    """Return buckets that grow by these counts a minute, with a context of 131072 tokens."""
    buckets = [series(PROMPTS, f"0+{count}x120", le=le) for le, count in shares]
    return [*buckets, series(CONTEXT, "131072x120")]


Case = tuple[str, list[dict[str, str]], str, set[str]]
# What is seen, at what time, and the alerts that fire then.
CASES: dict[str, Case] = {
    "a quiet service": (
        "1h",
        [
            series(RESTARTS, "0x120", **{"class": "unknown"}),
            series(STALLS, "0x120"),
            series(READY, "1x120"),
            series(CACHE, "0.5x120"),
            series(EXPIRY, f"{40 * DAY}x120"),
            *prompts(("1000", 90), ("50000", 100), ("100000", 100), ("+Inf", 100)),
        ],
        "",
        set(),
    ),
    "the first loss": (
        "13m",
        [series(RESTARTS, "0x10 1x120", **{"class": "host_oom"})],
        "host_oom",
        {"NimEngineLost"},
    ),
    "a loss long ago": ("1h", [series(RESTARTS, "0x10 1x120", **{"class": "host_oom"})], "", set()),
    "three losses in an hour": (
        "46m",
        [series(RESTARTS, "0x10 1x10 2x10 3x120", **{"class": "unknown"})],
        "3 times",
        {"NimEngineRestarts"},
    ),
    "two losses in an hour": (
        "46m",
        [series(RESTARTS, "0x10 1x10 2x120", **{"class": "unknown"})],
        "",
        set(),
    ),
    "a stall": ("15m", [series(STALLS, "0x10 1x120")], POD, {"NimEngineStalled"}),
    "a start as long as it may be": ("20m", [series(READY, "0x120")], "", set()),
    "a start that is longer": ("40m", [series(READY, "0x120")], POD, {"NimNotReady"}),
    "a full cache": ("1h", [series(CACHE, "0.97x120")], "97%", {"NimCacheNearlyFull"}),
    "a cache that was full for a moment": ("1h", [series(CACHE, "0.5x55 1x3 0.5x60")], "", set()),
    "long prompts": (
        "2h",
        prompts(("1000", 10), ("50000", 20), ("100000", 90), ("+Inf", 100)),
        POD,
        {"NimPromptsNearContext"},
    ),
    "a certificate with a week left": (
        "1h",
        [series(EXPIRY, f"{7 * DAY}x120")],
        POD,
        {"NimCertificateExpires"},
    ),
    "another release's trouble": (
        "1h",
        [{"series": f'{READY}{{job="other",namespace="{NAMESPACE}"}}', "values": "0x120"}],
        "",
        set(),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_alert_fires_when_it_should_and_no_other_does(case: str, tmp_path: Path) -> None:
    at, seen, _, fires = CASES[case]
    expressions = [
        {
            "expr": f'count by (alertname) (ALERTS{{alertstate="firing",alertname="{name}"}})',
            "eval_time": at,
            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1}] if name in fires else [],
        }
        for name in by_name()
    ]
    test = {"interval": "1m", "input_series": seen, "promql_expr_test": expressions}
    check_rules(tmp_path, rules(), [test])


def test_each_alert_has_a_case_in_which_it_fires() -> None:
    assert set().union(*(fires for *_, fires in CASES.values())) == set(by_name())


def test_the_summary_says_which_service_and_how_much(tmp_path: Path) -> None:
    """Templates of annotations are run by promtool only where the whole alert is compared."""
    for name, case in {
        "NimEngineLost": "the first loss",
        "NimEngineRestarts": "three losses in an hour",
        "NimCacheNearlyFull": "a full cache",
    }.items():
        at, seen, said, _ = CASES[case]
        rule = by_name()[name]
        wrong: dict[str, Any] = {"exp_labels": {}, "exp_annotations": {}}
        alert = {"eval_time": at, "alertname": name, "exp_alerts": [wrong]}
        with pytest.raises(AssertionError, match=said) as complaint:
            check_rules(
                tmp_path, rules(), [{"interval": "1m", "input_series": seen, "alert_rule_test": [alert]}]
            )
        assert POD in str(complaint.value)
        assert rule["annotations"]["description"][:20] in str(complaint.value)


def test_the_file_is_a_rule_file_by_itself() -> None:
    assert "SUCCESS: 7 rules found" in promtool("check", "rules", str(CHART / "alerts.yaml"))


def test_a_start_may_take_as_long_as_the_probe_grants() -> None:
    (plain,) = read_all((CHART / "alerts.yaml").read_text(encoding="utf-8"))
    written = {rule["alert"]: rule.get("for") for rule in plain["groups"][0]["rules"]}
    assert written["NimNotReady"] == "30m"
    assert by_name()["NimNotReady"]["for"] == "1500s"
    startup = {"startup": {"downloadGB": 1120, "downloadMBps": 200, "loadSeconds": 1800}}
    assert by_name(startup)["NimNotReady"]["for"] == "7400s"


def test_each_alert_asks_for_metrics_of_the_real_service_by_job_and_namespace() -> None:
    for name, rule in by_name().items():
        names = used(rule["expr"])
        assert names, name
        assert names <= recorded() | {EXPIRY}, name
        assert rule["expr"].count(f'{{job="{JOB}",namespace="{NAMESPACE}"}}') >= len(names)


def test_it_is_off_unless_asked_for() -> None:
    assert not [one for one in render() if one["kind"] == "PrometheusRule"]
