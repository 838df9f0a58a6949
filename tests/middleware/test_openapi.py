"""/openapi.json: one document of all routes that the gateway passes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aiohttp import ClientSession
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from nim.middleware import management_openapi
from nim.plan import Plan
from nim.routes import HEALTH, ROUTES, Group, Target, let_through
from tests.middleware.conftest import Serve, Upstream, put_state, state

KEY = {"type": "http", "scheme": "bearer"}
ENGINE_S = {
    "openapi": "3.1.0",
    "info": {"title": "FastAPI", "version": "0.1.0"},
    "tags": [{"name": "chat"}],
    "paths": {
        "/v1/chat/completions": {"post": {"operationId": "chat"}},
        "/v1/responses/{response_id}": {"get": {"operationId": "retrieve"}},
        "/v1/load_lora_adapter": {"post": {"operationId": "load"}},
        "/sleep": {"post": {"operationId": "sleep"}},
        "/metrics": {"get": {"operationId": "metrics"}},
        "/health": {"get": {"operationId": "health"}},
        "/of/a/later/version": {"get": {"operationId": "later"}},
    },
    "components": {"schemas": {"Chat": {"type": "object"}}, "securitySchemes": {"key": KEY}},
}
DONE = {"description": "Done"}
OURS_TO_DESCRIBE = {Group.HEALTH, Group.MANAGEMENT, Group.ADAPTERS}
OURS = {"/"} | {
    f"/v1/{name}"
    for name in (
        "health/live",
        "health/ready",
        "health/startup",
        "license",
        "manifest",
        "metadata",
        "metrics",
        "version",
    )
}


async def document(service: ClientSession) -> Any:
    async with service.get("/openapi.json") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        return await answer.json()


def references(node: Any) -> Iterator[str]:
    """Yield every `$ref` in a document."""
    if isinstance(node, dict):
        yield from (target for key, target in node.items() if key == "$ref")
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from references(inner)


async def test_our_part_alone_before_the_engine_is_up(plan: Plan, serve: Serve) -> None:
    body = await document(await serve(plan))
    assert body["x-engine"] == "not up"
    assert set(body["paths"]) == OURS
    operations = [item["get"]["operationId"] for item in body["paths"].values()]
    assert len(set(operations)) == len(OURS)
    assert set(references(body)) == {f"#/components/schemas/{name}" for name in management_openapi.schemas()}


@pytest.mark.parametrize("name", management_openapi.schemas())
def test_our_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(management_openapi.schemas()[name])


def test_every_management_route_of_the_table_is_described() -> None:
    assert {route.path for route in ROUTES if route.group in OURS_TO_DESCRIBE} == set(
        management_openapi.paths()
    )


async def test_every_route_of_the_table_that_is_ours_to_answer_is_answered(plan: Plan, serve: Serve) -> None:
    service = await serve(plan)
    ours = [route for route in ROUTES if route.target is Target.MIDDLEWARE]
    for path in [r.path for r in ours if r.methods == ("GET",) and r.group is not Group.ASSETS]:
        async with service.get(path) as answer:
            body = await answer.read()
            assert answer.status in {200, 503} or b"no_manifest" in body, path


async def test_the_engine_s_open_routes_come_with_ours(plan: Plan, serve: Serve, engine: Upstream) -> None:
    engine.openapi = ENGINE_S
    body = await document(await serve(plan))
    assert set(body["paths"]) == OURS | {"/v1/chat/completions", "/v1/responses/{response_id}"}
    assert body["paths"]["/v1/chat/completions"] == {"post": {"operationId": "chat"}}
    assert body["info"] == {"title": "nim", "version": "1.0.0"}
    assert [tag["name"] for tag in body["tags"]] == ["chat", "management"]
    assert body["components"]["securitySchemes"] == {"key": KEY}
    assert set(body["components"]["schemas"]) == {"Chat", *management_openapi.schemas()}
    assert "x-engine" not in body


async def test_a_group_that_is_opened_is_described_and_one_that_is_closed_is_not(
    plan: Plan, serve: Serve, engine: Upstream
) -> None:
    engine.openapi = ENGINE_S
    gateway = replace(plan.gateway, route_groups=("adapters", "docs"))
    assert set((await document(await serve(replace(plan, gateway=gateway))))["paths"]) == {
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        *HEALTH,
    }


async def test_the_engine_is_asked_once_per_start(plan: Plan, serve: Serve, engine: Upstream) -> None:
    engine.openapi = ENGINE_S
    service = await serve(plan)
    first = await document(service)
    assert await document(service) == first
    assert engine.asked == ["/openapi.json"]
    engine.openapi = ENGINE_S | {"paths": {"/tokenize": {}}}
    put_state(plan, state(restarts=(("unknown", 1),)))
    assert set((await document(service))["paths"]) == OURS | {"/tokenize"}
    assert engine.asked == ["/openapi.json"] * 2


async def test_the_engine_that_came_up_in_between_is_found(plan: Plan, serve: Serve) -> None:
    assert plan.engine.socket is not None
    service = await serve(plan)
    assert "x-engine" in await document(service)
    async with Upstream(Path(plan.engine.socket)).up():
        assert "x-engine" not in await document(service)


async def test_the_document_is_openapi_by_the_letter(plan: Plan, serve: Serve, engine: Upstream) -> None:
    engine.openapi = ENGINE_S | {"paths": {"/tokenize": {"post": {"responses": {"200": DONE}}}}}
    service = await serve(plan)
    merged = await document(service)
    OpenAPIV31SpecValidator(merged).validate()
    assert "/tokenize" in merged["paths"]
    with pytest.raises(OpenAPIValidationError):
        OpenAPIV31SpecValidator(merged | {"paths": {"no slash": {}}}).validate()


async def test_our_part_alone_is_openapi_by_the_letter(plan: Plan, serve: Serve) -> None:
    OpenAPIV31SpecValidator(await document(await serve(plan))).validate()


async def test_the_page_loads_everything_from_this_service(plan: Plan, serve: Serve) -> None:
    model = replace(plan.model, served_names=("<b>mine</b>",))
    service = await serve(replace(plan, model=model))
    async with service.get("/docs") as answer:
        page = await answer.text()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "'self'" in answer.headers["Content-Security-Policy"]
    assert "<title>nim: &lt;b&gt;mine&lt;/b&gt;</title>" in page
    assert "//" not in page, "an address elsewhere"
    for reference in ("static/swagger-ui.css", "static/swagger-ui-bundle.js", "openapi.json"):
        assert f'"{reference}"' in page
        assert let_through(f"/{reference}", ["docs"])


@pytest.mark.parametrize("nonsense", [[], {"openapi": "3.1.0"}, {"paths": [1]}, "text", {"paths": None}])
async def test_a_document_that_is_none_is_as_if_there_were_no_engine(
    plan: Plan, serve: Serve, engine: Upstream, nonsense: Any
) -> None:
    engine.openapi = nonsense
    body = await document(await serve(plan))
    assert (body["x-engine"], set(body["paths"])) == ("not up", OURS)
