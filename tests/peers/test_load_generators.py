"""guidellm and aiperf with few options, against the real engine: every request is answered."""

import json
from pathlib import Path

from tests.e2e.conftest import Service
from tests.peers.conftest import MODEL
from tests.peers.tools import AIPERF, GUIDELLM, program, run

REQUESTS = 40


def test_guidellm_finds_the_service_and_loses_no_request(service: Service, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [program(GUIDELLM, "guidellm"), "run", "--disable-progress"]
    command += ["--backend", f"kind=openai_http,target={service.root}"]
    command += ["--profile", "kind=concurrent,streams=4"]
    command += ["--constraint", f"kind=max_requests,count={REQUESTS}"]
    command += ["--tokenizer", f"kind=hf_auto,model={MODEL}"]
    command += ["--data", "kind=synthetic_text,prompt_tokens=64,output_tokens=16"]
    command += ["--output", f"kind=json,path={report}"]
    print(run(command, tmp_path, {"HF_HUB_OFFLINE": "1"}))
    (benchmark,) = json.loads(report.read_text(encoding="utf-8"))["benchmarks"]
    totals = benchmark["metrics"]["request_totals"]
    # Requests at the edges of the measured time are not counted.
    assert REQUESTS / 2 <= totals["successful"] <= REQUESTS
    assert (totals["errored"], totals["incomplete"]) == (0, 0)


def test_aiperf_finds_the_servers_metrics_too(service: Service, tmp_path: Path) -> None:
    command = [program(AIPERF, "aiperf"), "profile", "--ui", "none", "--workers-max", "2"]
    command += ["--model", "nim/demo", "--tokenizer", str(MODEL), "--url", service.root]
    command += ["--endpoint-type", "chat", "--streaming"]
    command += ["--concurrency", "4", "--request-count", str(REQUESTS)]
    command += ["--prompt-input-tokens-mean", "64", "--prompt-output-tokens-mean", "16"]
    command += ["--output-artifact-dir", str(tmp_path)]
    print(run(command, tmp_path))
    report = json.loads((tmp_path / "profile_export_aiperf.json").read_text(encoding="utf-8"))
    assert report["request_count"]["avg"] == REQUESTS
    assert report["error_summary"] == []
    found = json.loads((tmp_path / "server_metrics_export.json").read_text(encoding="utf-8"))
    assert found["summary"]["endpoints_successful"] == [f"{service.root}/metrics"]
    assert {"nim_ready", "vllm:num_requests_running"} <= set(found["metrics"])
