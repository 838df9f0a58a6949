"""A service is ready when its adapters are loaded: at its start, and after the loss of its engine."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from nim.plan import ADAPTERS_DIR, ADAPTERS_FILE, AdapterPlan, Plan
from tests.fakes.launch import wait_until
from tests.middleware.adapter_engine import put_adapter
from tests.process.conftest import Start
from tests.process.plans import make_plan
from tests.process.service import Service


def plan_with_adapters(directory: Path, **mood: Any) -> Plan:
    source = directory / "source"
    source.mkdir()
    for name in ("a", "b"):
        put_adapter(source, name)
    plan = make_plan(directory, **mood)
    argv = (*plan.engine.argv, "--enable-lora")
    env = {**plan.engine.env, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    plan = make_plan(directory, argv=argv, **mood)
    wish = AdapterPlan(
        source=str(source), refresh_seconds=1.0, api_timeout_seconds=20, max_rank=16, base_names=("nim/demo",)
    )
    return replace(plan, adapters=wish, engine=replace(plan.engine, env=env))


def listed(service: Service) -> set[str]:
    return {entry["id"] for entry in service.engine.get("/v1/models")["data"]}


def test_ready_means_that_the_adapters_are_there_also_after_a_loss(start: Start, directory: Path) -> None:
    service = start(plan_with_adapters(directory), fast_restarts=True).wait_ready()
    assert listed(service) == {str(directory), "a", "b"}
    assert (service.run_dir / ADAPTERS_FILE).exists()
    pid = service.api_server
    service.kill(pid)
    service.wait_restarts(1)
    service.wait_ready()
    assert service.api_server != pid
    assert listed(service) == {str(directory), "a", "b"}
    assert service.stop() == 0
    service.assert_nothing_left()
    assert not (service.run_dir / ADAPTERS_DIR).exists()
    assert not (service.run_dir / ADAPTERS_FILE).exists()


def test_a_healthy_engine_without_its_adapters_is_not_ready(start: Start, directory: Path) -> None:
    plan = plan_with_adapters(directory, stall=["/v1/load_lora_adapter"])
    service = start(plan).wait_live()
    wait_until(lambda: "loading adapters: 0 of 2" in service.text or _waits(service), "the adapters' turn")
    assert not service.ready()
    service.engine.order(stall=[])
    service.wait_ready()
    assert service.stop() == 0


def _waits(service: Service) -> bool:
    return "loading adapters" in service.state().message
