"""The loader of adapters: it adds, replaces and removes, and one that is broken harms no other."""
# ruff: noqa: ASYNC240 - the files are in memory or nearly so

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from nim.middleware.adapters import adapter_loader, copy_adapter
from nim.plan import ADAPTERS_DIR, ADAPTERS_FILE, MIDDLEWARE_SOCKET, AdapterPlan, Plan
from tests.middleware.adapter_engine import AdapterEngine, put_adapter
from tests.middleware.conftest import GENEROUS_SECONDS, Serve
from tests.middleware.test_metrics import parsed, value


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no test wait for files to settle."""
    for name in ("SETTLE_SECONDS", "WAITING_SECONDS"):
        monkeypatch.setattr(adapter_loader, name, 0.05)
    for name in ("TICK_SECONDS", "STARTING_TICK_SECONDS"):
        monkeypatch.setattr(adapter_loader, name, 0.02)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir()
    return directory


@pytest.fixture
def adapters(plan: Plan, source: Path) -> Plan:
    """Return a plan with adapters, read again all the time, whose routes are open."""
    wish = AdapterPlan(
        source=str(source),
        refresh_seconds=0.05,
        api_timeout_seconds=5,
        max_rank=16,
        base_names=("nim/demo",),
        name="source",
    )
    gateway = replace(plan.gateway, route_groups=(*plan.gateway.route_groups, "adapters"))
    return replace(plan, adapters=wish, gateway=gateway)


@pytest.fixture
async def upstream(plan: Plan) -> AsyncIterator[AdapterEngine]:
    """Yield an engine that is up."""
    engine = AdapterEngine(Path(str(plan.engine.socket)))
    async with engine.up():
        yield engine


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(GENEROUS_SECONDS):
        while not condition():  # noqa: ASYNC110 - it depends on files and another process
            await asyncio.sleep(0.01)


def complete(plan: Plan) -> bool:
    """Return whether the file that PID 1 reads says that all adapters are loaded."""
    try:
        return bool(json.loads(plan.file(ADAPTERS_FILE).read_text())["complete"])
    except (OSError, ValueError):
        return False


async def states(service: ClientSession) -> dict[str, tuple[str, str | None]]:
    """Return {name: (state, message)} as /v1/metadata shows it."""
    async with service.get("/v1/metadata") as answer:
        body = await answer.json()
    return {entry["id"]: (entry["state"], entry["message"]) for entry in body["adapters"]}


async def post(service: ClientSession, what: str, **body: Any) -> tuple[int, str]:
    async with service.post(f"/v1/{what}_lora_adapter", json=body) as answer:
        return answer.status, await answer.text()


async def test_adapters_are_added_replaced_and_removed(
    adapters: Plan, serve: Serve, upstream: AdapterEngine, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    put_adapter(source, "a")
    service = await serve(adapters)
    await until(lambda: complete(adapters) and "a" in upstream.loaded)
    first = upstream.loaded["a"]
    # A private copy, which is whole whatever becomes of the source.
    assert Path(first).is_relative_to(adapters.file(ADAPTERS_DIR))
    assert {file.name for file in Path(first).iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }

    put_adapter(source, "b")
    await until(lambda: "b" in upstream.loaded)
    assert await states(service) == {"a": ("loaded", None), "b": ("loaded", None)}

    put_adapter(source, "a", of="german")
    await until(lambda: upstream.loaded.get("a") not in (None, first))
    # Another path: vLLM's prefix cache knows adapters by name and path.
    asked = [each for each in upstream.asked if each[1] == "a"]
    assert asked == [("load", "a"), ("unload", "a"), ("load", "a")]
    assert Path(first).is_dir(), "requests in the engine's queue may need the old version"

    (source / "b" / "adapter_config.json").unlink()
    (source / "b" / "adapter_model.safetensors").unlink()
    (source / "b").rmdir()
    await until(lambda: "b" not in upstream.loaded)
    assert await states(service) == {"a": ("loaded", None)}
    for words in ("the adapter a is served (rank 8", "a is served in a new version", "b is no longer served"):
        assert words in caplog.text


async def test_a_half_written_one_waits_and_is_served_when_it_is_whole(
    adapters: Plan, serve: Serve, upstream: AdapterEngine, source: Path
) -> None:
    whole = put_adapter(source, ".elsewhere") / "adapter_model.safetensors"
    directory = put_adapter(source, "a")
    weights = directory / "adapter_model.safetensors"
    weights.write_bytes(whole.read_bytes()[:90_000])
    put_adapter(source, "b")
    service = await serve(adapters)
    await until(lambda: complete(adapters) and "b" in upstream.loaded)
    assert set(upstream.loaded) == {"b"}
    assert ".elsewhere" not in await states(service)
    await until(lambda: complete(adapters))
    state, message = (await states(service))["a"]
    assert state == "waiting"
    assert message is not None
    weights.write_bytes(whole.read_bytes())
    await until(lambda: "a" in upstream.loaded)


async def test_a_broken_one_is_named_once_and_harms_no_other(
    adapters: Plan, serve: Serve, upstream: AdapterEngine, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_adapter(source, "good")
    put_adapter(source, "high", r=64)
    put_adapter(source, "dora", use_dora=True)
    put_adapter(source, "other", base_model_name_or_path="org/other")
    (put_adapter(source, "torn") / "adapter_config.json").write_text("{")
    (source / "empty").mkdir()
    os.mkfifo(put_adapter(source, "pipe") / "adapter_model.bin")
    put_adapter(source, "nim")
    upstream.others["nim"] = "/model"
    put_adapter(source, "odd")
    upstream.refuses.add("odd")
    service = await serve(adapters)
    await until(lambda: complete(adapters) and {"good", "other", "pipe"} == upstream.loaded.keys())
    found = await states(service)
    assert found["high"] == ("refused", "its rank 64 is above --max-lora-rank 16: NIM_MAX_LORA_RANK=64")
    assert found["dora"] == ("refused", "it is a DoRA")
    assert found["torn"][0] == "refused"
    assert found["empty"] == ("waiting", "it has no adapter_config.json")
    assert found["nim"] == ("refused", "its name is taken by another model or adapter")
    assert found["odd"][0] == "refused"
    assert "is of another size" in str(found["odd"][1])
    assert str(adapters.file(ADAPTERS_DIR)) not in str(found["odd"][1])
    assert "trained on org/other, not on nim/demo" in caplog.text
    seen = len(upstream.asked)
    await asyncio.sleep(0.3)  # several scans
    assert len(upstream.asked) == seen, "what was refused is not asked for again"
    assert caplog.text.count("the adapter high is not served") == 1
    assert caplog.text.count("the adapter odd is not served") == 1
    async with service.get("/v1/metrics") as answer:
        families = parsed(await answer.read())
    assert value(families, "nim_adapters", state="loaded") == 3
    assert value(families, "nim_adapters", state="refused") == 5
    assert value(families, "nim_adapters", state="waiting") == 1
    assert value(families, "nim_adapter_loads", result="failed") == 1


async def test_a_new_version_that_the_engine_refuses_leaves_the_old_one_served(
    adapters: Plan, serve: Serve, upstream: AdapterEngine, source: Path
) -> None:
    put_adapter(source, "a")
    service = await serve(adapters)
    await until(lambda: "a" in upstream.loaded)
    first = upstream.loaded["a"]
    put_adapter(source, "a", r=64)
    await until(lambda: complete(adapters))
    async with asyncio.timeout(GENEROUS_SECONDS):
        while (await states(service))["a"][0] != "refused":  # noqa: ASYNC110 - another task decides
            await asyncio.sleep(0.02)
    assert str((await states(service))["a"][1]).endswith("; the version before it is still served")
    assert upstream.loaded["a"] == first


async def test_an_engine_that_starts_again_gets_all_of_them(
    adapters: Plan, serve: Serve, plan: Plan, source: Path
) -> None:
    for name in ("a", "b"):
        put_adapter(source, name)
    engine = AdapterEngine(Path(str(plan.engine.socket)))
    await serve(adapters)
    async with engine.up():
        await until(lambda: complete(adapters) and set(engine.loaded) == {"a", "b"})
    adapters.file(ADAPTERS_FILE).unlink()  # as PID 1 does when it starts an engine
    await asyncio.sleep(0.1)
    assert not complete(adapters)
    async with engine.up():
        await until(lambda: complete(adapters))
        assert set(engine.loaded) == {"a", "b"}


async def test_a_management_service_that_starts_again_changes_nothing(
    adapters: Plan, upstream: AdapterEngine, source: Path
) -> None:
    from nim.middleware.management_app import build_app
    from tests.middleware.conftest import listening

    put_adapter(source, "a")
    for _ in range(2):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(listening(build_app(adapters), adapters.file(MIDDLEWARE_SOCKET)))
            adapters.file(ADAPTERS_FILE).unlink(missing_ok=True)
            await until(lambda: complete(adapters) and "a" in upstream.loaded)
    assert upstream.asked == [("load", "a")]


async def test_an_engine_that_does_not_answer_in_time_is_no_end(
    adapters: Plan, serve: Serve, upstream: AdapterEngine, source: Path
) -> None:
    put_adapter(source, "a")
    put_adapter(source, "b")
    upstream.hangs.add("a")
    assert adapters.adapters is not None
    service = await serve(replace(adapters, adapters=replace(adapters.adapters, api_timeout_seconds=0.2)))
    await until(lambda: "b" in upstream.loaded)
    async with asyncio.timeout(GENEROUS_SECONDS):
        while (await states(service))["a"][0] != "refused":  # noqa: ASYNC110 - another task decides
            await asyncio.sleep(0.02)
    assert "did not answer within 0.2 s (NIM_PEFT_API_TIMEOUT_SECS)" in str((await states(service))["a"][1])


async def test_without_an_interval_the_source_is_read_once(
    adapters: Plan, serve: Serve, upstream: AdapterEngine, source: Path
) -> None:
    put_adapter(source, "a")
    await asyncio.sleep(0.1)
    assert adapters.adapters is not None
    await serve(replace(adapters, adapters=replace(adapters.adapters, refresh_seconds=0.0)))
    await until(lambda: complete(adapters) and "a" in upstream.loaded)
    put_adapter(source, "b")
    await asyncio.sleep(0.3)
    assert set(upstream.loaded) == {"a"}


async def test_a_source_that_vanishes_takes_nothing_away(
    adapters: Plan, serve: Serve, upstream: AdapterEngine, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_adapter(source, "a")
    await serve(adapters)
    await until(lambda: "a" in upstream.loaded)
    source.rename(source.with_name("gone"))
    await until(lambda: "cannot read NIM_PEFT_SOURCE" in caplog.text)
    await asyncio.sleep(0.2)
    assert set(upstream.loaded) == {"a"}
    assert caplog.text.count("cannot read NIM_PEFT_SOURCE") == 1
    source.with_name("gone").rename(source)
    put_adapter(source, "b")
    await until(lambda: "b" in upstream.loaded)


async def test_old_copies_are_removed_after_a_while(
    adapters: Plan, serve: Serve, upstream: AdapterEngine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_adapter(source, "a")
    await serve(adapters)
    await until(lambda: "a" in upstream.loaded)
    first = Path(upstream.loaded["a"])
    monkeypatch.setattr(copy_adapter, "KEPT_SECONDS", 0.1)
    put_adapter(source, "a", of="german")
    await until(lambda: not first.exists())
    await until(lambda: "a" in upstream.loaded)
    assert Path(upstream.loaded["a"]).is_dir()


async def test_people_load_and_unload_below_the_source_only(
    adapters: Plan, serve: Serve, upstream: AdapterEngine, source: Path
) -> None:
    put_adapter(source, "a")
    outside = put_adapter(source.parent, "outside")
    deep = source / "teams"
    deep.mkdir()
    (deep / "link").symlink_to(outside)
    put_adapter(deep, "sql")
    service = await serve(adapters)
    await until(lambda: "a" in upstream.loaded)
    paths = (
        "../outside",
        str(outside),
        "teams/link",
        "..",
        ".",
        "/",
        "missing",
        "a/adapter_config.json",
        "a\0b",
        "x" * 5000,
    )
    for path in paths:
        status, text = await post(service, "load", lora_name="x", lora_path=path)
        assert (status, json.loads(text)["error"]["code"]) == (400, "invalid_adapter"), path
    for name in ("", "\n", ".x"):
        assert (await post(service, "load", lora_name=name, lora_path="a"))[0] == 400
    assert (await post(service, "load", lora_name="a", lora_path="a"))[0] == 400, "loaded already"
    assert "x" not in upstream.loaded

    status, text = await post(service, "load", lora_name="sql", lora_path="teams/sql")
    assert (status, text) == (200, "Success: LoRA adapter 'sql' added successfully.")
    assert "sql" in upstream.loaded
    assert (await post(service, "load", lora_name="again", lora_path=str(source / "a")))[0] == 200

    status, text = await post(service, "unload", lora_name="a")
    assert (status, text) == (200, "Success: LoRA adapter 'a' removed successfully.")
    await asyncio.sleep(0.2)
    assert set(upstream.loaded) == {"sql", "again"}, "the watch does not bring it back"
    assert (await post(service, "unload", lora_name="a"))[0] == 404
    assert (await post(service, "load", lora_name="a", lora_path="a"))[0] == 200
    for body in (b"", b"[]", b"{", b'{"lora_name": 1}'):
        async with service.post("/v1/load_lora_adapter", data=body) as answer:
            assert answer.status == 400


async def test_the_routes_of_people_are_closed_unless_opened(
    adapters: Plan, serve: Serve, upstream: AdapterEngine, source: Path
) -> None:
    gateway = replace(adapters.gateway, route_groups=("inference", "management"))
    service = await serve(replace(adapters, gateway=gateway))
    assert (await post(service, "load", lora_name="a", lora_path="a"))[0] == 404
    assert (await post(service, "unload", lora_name="a"))[0] == 404


async def test_two_hundred_are_loaded(
    adapters: Plan, serve: Serve, upstream: AdapterEngine, source: Path
) -> None:
    for number in range(200):
        put_adapter(source, f"a{number:03}")
    service = await serve(adapters)
    await until(lambda: complete(adapters) and len(upstream.loaded) == 200)
    assert {state for state, _ in (await states(service)).values()} == {"loaded"}
