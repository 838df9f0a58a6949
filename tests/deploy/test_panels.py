"""Each query of the dashboard gives the right number for known series, judged by promtool."""

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.promtool import check_rules
from tests.deploy.test_dashboard import PANELS

AT = "1h"
Sample = tuple[str, float]
Case = tuple[list[dict[str, str]], list[Sample]]


def series(name: str, values: str, /, **labels: str) -> dict[str, str]:
    """Return an input series of one pod."""
    text = ",".join(f'{label}="{value}"' for label, value in {"instance": "a", **labels}.items())
    return {"series": f"{name}{{{text}}}", "values": values}


def gauge(name: str, low: float = 1, high: float = 3, /, **labels: str) -> list[dict[str, str]]:
    """Return a gauge on two pods."""
    return [
        series(name, f"{low}x120", **labels),
        series(name, f"{high}x120", **labels | {"instance": "b"}),
    ]


def counter(name: str, /, **labels: str) -> list[dict[str, str]]:
    """Return a counter that grows by 1 per second on each of two pods."""
    return [series(name, "0+60x120", **labels), series(name, "0+60x120", **labels | {"instance": "b"})]


def buckets(name: str) -> list[dict[str, str]]:
    """Return a histogram of which half are at most 1, nine in ten at most 2, and all at most 4."""
    shares = (("1", 60), ("2", 108), ("4", 120), ("+Inf", 120))
    return [series(name, f"0+{count}x120", le=le) for le, count in shares]


HISTOGRAMS = {
    "Time to first token": "vllm:time_to_first_token_seconds_bucket",
    "Between tokens": "vllm:inter_token_latency_seconds_bucket",
    "Whole request": "vllm:e2e_request_latency_seconds_bucket",
    "In the queue": "vllm:request_queue_time_seconds_bucket",
    "Prefill": "vllm:request_prefill_time_seconds_bucket",
    "Decode": "vllm:request_decode_time_seconds_bucket",
    "Length of prompts": "vllm:request_prompt_tokens_bucket",
    "Length of answers": "vllm:request_generation_tokens_bucket",
}
QUANTILES = (1.0, 3.0, 3.8)
GPU = {"gpu": "0", "name": "x", "uuid": "u"}
BOTH = tuple(f'instance="{pod}",gpu="0",name="x",uuid="u"' for pod in "ab")
RESTARTS = series("nim_engine_restarts_total", "0x57 1x120", **{"class": "unknown"})
NEVER = series("nim_engine_restarts_total", "0x120", **{"class": "stalled"})
INFO = {"model": "m", "profile": "p"}

# Panel → one case for each of its queries: what is there, and what the query says of it.
CASES: dict[str, list[Case]] = {
    "Ready": [(gauge("nim_ready", 0, 1), [("{}", 0)])],
    "Engine answers": [(gauge("nim_engine_up", 0, 1), [("{}", 0)])],
    "Up for": [(gauge("nim_uptime_seconds", 60, 90), [("{}", 60)])],
    "Engine restarts in a day": [([RESTARTS, NEVER], [("{}", 1)])],
    "Served": [
        ([series("nim_info", "1x120", **INFO)], [('nim_info{instance="a",model="m",profile="p"}', 1)])
    ],
    "The last start, phase by phase": [
        (gauge("nim_startup_phase_seconds", 4, 6, phase="load"), [('{phase="load"}', 6)])
    ],
    "Engine restarts by class": [([RESTARTS, NEVER], [('{class="unknown"}', 1), ('{class="stalled"}', 0)])],
    "In the engine": [
        (gauge("vllm:num_requests_running"), [("{}", 4)]),
        (gauge("vllm:num_requests_waiting"), [("{}", 4)]),
    ],
    "Waiting by reason": [
        (gauge("vllm:num_requests_waiting_by_reason", reason="capacity"), [('{reason="capacity"}', 4)])
    ],
    "Finished": [
        (
            counter("vllm:request_success_total", finished_reason="stop")
            + counter("vllm:request_success_total", finished_reason="length", engine="1"),
            [('{finished_reason="stop"}', 2), ('{finished_reason="length"}', 2)],
        )
    ],
    "Answers of the engine by status": [
        (counter("http_requests_total", status="2xx", handler="/v1/models"), [('{status="2xx"}', 2)])
    ],
    "Requests at the gateway": [(counter("nim_gateway_requests_total"), [("{}", 2)])],
    "Connections at the gateway": [
        (gauge("nim_gateway_connections", state="waiting"), [('{state="waiting"}', 4)])
    ],
    **{
        panel: [(buckets(name), [("{}", quantile)]) for quantile in QUANTILES]
        for panel, name in HISTOGRAMS.items()
    },
    "Tokens a second": [
        (counter("vllm:prompt_tokens_total"), [("{}", 2)]),
        (counter("vllm:generation_tokens_total"), [("{}", 2)]),
    ],
    "KV cache in use": [
        (
            gauge("vllm:kv_cache_usage_perc", 0.25, 0.5, engine="0"),
            [('{instance="a"}', 0.25), ('{instance="b"}', 0.5)],
        )
    ],
    "Prefix cache hits": [
        (
            [
                series("vllm:prefix_cache_hits_total", "0+30x120"),
                *counter("vllm:prefix_cache_queries_total"),
            ],
            [("{}", 0.25)],
        )
    ],
    "Preemptions": [(counter("vllm:num_preemptions_total"), [("{}", 2)])],
    "Utilization": [
        (
            gauge("nim_gpu_utilization_ratio", 0.5, 1, **GPU),
            [
                (f"nim_gpu_utilization_ratio{{{BOTH[0]}}}", 0.5),
                (f"nim_gpu_utilization_ratio{{{BOTH[1]}}}", 1),
            ],
        )
    ],
    "Memory": [
        (
            gauge("nim_gpu_memory_used_bytes", 1, 2, **GPU)
            + gauge("nim_gpu_memory_total_bytes", 4, 4, **GPU),
            [(f"{{{BOTH[0]}}}", 0.25), (f"{{{BOTH[1]}}}", 0.5)],
        )
    ],
    "Power": [
        (
            gauge("nim_gpu_power_watts", 300, 400, **GPU),
            [(f"nim_gpu_power_watts{{{BOTH[0]}}}", 300), (f"nim_gpu_power_watts{{{BOTH[1]}}}", 400)],
        )
    ],
    "Temperature": [
        (
            gauge("nim_gpu_temperature_celsius", 50, 60, **GPU),
            [
                (f"nim_gpu_temperature_celsius{{{BOTH[0]}}}", 50),
                (f"nim_gpu_temperature_celsius{{{BOTH[1]}}}", 60),
            ],
        )
    ],
}


def asked(expression: str) -> str:
    """Return a query as Grafana sends it, for all pods and 5 minutes; quantiles are rounded."""
    query = expression.replace("$instance", ".*").replace("$__rate_interval", "5m")
    return f"round({query}, 0.001)" if query.startswith("histogram_quantile") else query


@pytest.mark.parametrize("panel", [panel["title"] for panel in PANELS])
def test_each_query_says_what_the_series_mean(panel: str, tmp_path: Path) -> None:
    (targets,) = [one["targets"] for one in PANELS if one["title"] == panel]
    tests: list[dict[str, Any]] = []
    for target, (seen, said) in zip(targets, CASES[panel], strict=True):
        samples = [{"labels": labels, "value": value} for labels, value in said]
        query = {"expr": asked(target["expr"]), "eval_time": AT, "exp_samples": samples}
        tests.append({"interval": "1m", "input_series": seen, "promql_expr_test": [query]})
    check_rules(tmp_path, None, tests)


def test_a_wrong_number_is_noticed(tmp_path: Path) -> None:
    query = {"expr": "sum(nim_ready)", "eval_time": AT, "exp_samples": [{"labels": "{}", "value": 2}]}
    test = {"interval": "1m", "input_series": gauge("nim_ready", 0, 1), "promql_expr_test": [query]}
    with pytest.raises(AssertionError, match="got"):
        check_rules(tmp_path, None, [test])
