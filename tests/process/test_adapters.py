"""A service is ready when its adapters are loaded: at its start, and after the loss of its engine."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nim.models.remote.cache_directories import CURRENT
from nim.plan import ADAPTERS_DIR, ADAPTERS_FILE, AdapterPlan, Plan, RemoteModel
from tests.fakes.launch import wait_until
from tests.middleware.adapter_engine import put_adapter
from tests.process.conftest import Start
from tests.process.plans import make_plan
from tests.process.service import Service
from tests.sources.store_servers import BUCKET, running_moto, s3_client
from tests.sources.test_adapters import PREFIX, credentials, put


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
        source=str(source),
        refresh_seconds=1.0,
        api_timeout_seconds=20,
        max_rank=16,
        base_names=("nim/demo",),
        name="source",
    )
    return replace(plan, adapters=wish, engine=replace(plan.engine, env=env))


def with_remote(plan: Plan, uri: str, cache: Path) -> Plan:
    """Return the plan with its adapters elsewhere."""
    assert plan.adapters
    remote = RemoteModel(uri=uri, directory=str(cache), adapters=True)
    return replace(plan, adapters=replace(plan.adapters, remote=remote, source=str(cache / CURRENT)))


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


@pytest.mark.slow
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


@pytest.mark.slow  # a minute: the store's absence is reported after the last try
def test_adapters_of_a_bucket_are_fetched_and_followed(
    start: Start, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_moto(tmp_path) as url:
        for name, text in credentials(url).items():
            monkeypatch.setenv(name, text)
        s3_client(url).create_bucket(Bucket=BUCKET)
        plan = plan_with_adapters(directory)
        put(url, directory / "source", "a", "b")
        service = start(with_remote(plan, f"s3://{BUCKET}/{PREFIX}", tmp_path / "cache")).wait_ready()
        assert listed(service) == {str(directory), "a", "b"}
        put_adapter(directory / "source", "c")
        put(url, directory / "source", "c")
        for path in (directory / "source" / "a").iterdir():
            s3_client(url).delete_object(Bucket=BUCKET, Key=f"{PREFIX}/a/{path.name}")
        wait_until(lambda: listed(service) == {str(directory), "b", "c"}, "the changes")
    wait_until(lambda: "the adapters stay as they are" in service.text, "the store's absence in the log")
    assert listed(service) == {str(directory), "b", "c"}
    assert service.stop() == 0
    service.assert_nothing_left()


def test_adapters_that_cannot_be_fetched_end_the_start(
    start: Start, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_moto(tmp_path) as url:
        for name, text in credentials(url).items():
            monkeypatch.setenv(name, text)
        plan = with_remote(plan_with_adapters(directory), f"s3://{BUCKET}/{PREFIX}", tmp_path / "cache")
        service = start(plan)
        service.process.wait(60)
    assert f"cannot fetch s3://{BUCKET}/{PREFIX}" in service.text
