"""The management routes over a real unix socket, from before the engine is up."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nim import data_paths
from nim.middleware import management_openapi
from nim.plan import STATE_FILE, Plan
from nim.redact import MASK
from nim.service_state import DownloadState, Failure, Phase, PhaseDone
from nim.value_origins import Layer, Origin, Value
from tests.middleware.conftest import PROFILE_ID, Serve, put, put_manifest, put_plan, put_state, state

DOCUMENT = {
    "schema_version": "2.0.0",
    "profile_selection_criteria": "default",
    "profiles": [{"id": PROFILE_ID, "tags": {"tp": "1"}, "engine": {"env": {"HF_TOKEN": "hf_hidden"}}}],
}
FAILURE = Failure(
    kind="gpu-out-of-memory",
    message="the GPU's memory was not enough",
    hint="NIM_MAX_MODEL_LEN=4096",
    log=("torch.OutOfMemoryError",),
    exit_code=None,
    signal=9,
)


@pytest.mark.parametrize(
    ("path", "status", "schema"),
    [
        ("/", 200, "NimIndex"),
        ("/v1/health/startup", 503, "NimStartup"),
        ("/v1/metadata", 200, "NimMetadata"),
        ("/v1/version", 200, "NimVersion"),
        ("/v1/license", 200, "NimLicense"),
        ("/v1/manifest", 200, "NimManifest"),
        ("/v1/nothing", 404, "NimError"),
    ],
)
async def test_answers_as_documented_before_anything_else_runs(
    plan: Plan, serve: Serve, path: str, status: int, schema: str
) -> None:
    put_manifest(plan, DOCUMENT)
    service = await serve(plan)
    async with service.get(path) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
        jsonschema.validate(await answer.json(), management_openapi.schemas()[schema])


GATEWAY_S = {"/v1/health/live", "/v1/health/ready"}


@pytest.mark.parametrize("path", [*sorted(management_openapi.paths().keys() - GATEWAY_S), "/openapi.json"])
async def test_head_is_get_without_the_body(plan: Plan, serve: Serve, path: str) -> None:
    put_manifest(plan, DOCUMENT)
    service = await serve(plan)
    async with service.head(path) as head, service.get(path) as get:
        assert (head.status, head.content_type, await head.read()) == (get.status, get.content_type, b"")
        assert len(await get.read()) > 0


async def metadata(plan: Plan, serve: Serve) -> Any:
    service = await serve(plan)
    async with service.get("/v1/metadata") as answer:
        return await answer.json()


async def test_metadata_has_what_runs_and_why(plan: Plan, serve: Serve) -> None:
    body = await metadata(plan, serve)
    assert body["version"] == "0.1.0"
    assert body["selectedModelProfileId"] == PROFILE_ID
    assert body["profile"] == {
        "label": "vllm-bf16-tp1-pp1",
        "tags": {"tp": "1"},
        "because": "the only one that fits",
    }
    assert body["engine"] == {"name": "vllm", "version": "0.32.0"}
    assert (body["assetInfo"], body["repository_override"]) == ([], "")
    assert body["planHash"] == plan.hash
    assert "content" not in body["licenseInfo"]


@pytest.mark.parametrize(("served", "expected"), [(("tiny", "other"), "tiny"), ((), "org/tiny-1b")])
async def test_the_operator_finds_the_name_that_requests_use(
    plan: Plan, serve: Serve, served: tuple[str, ...], expected: str
) -> None:
    body = await metadata(replace(plan, model=replace(plan.model, served_names=served)), serve)
    (info,) = body["modelInfo"]
    assert info["shortName"].split(":")[0] == expected
    assert info["modelUrl"] == "hf://org/tiny-1b:main"


async def test_every_option_has_its_whole_history(plan: Plan, serve: Serve) -> None:
    assert (await metadata(plan, serve))["config"] == {
        "max_model_len": {
            "value": 2048,
            "source": "CLI",
            "place": "--max-model-len",
            "previous": [{"value": None, "source": "DEFAULT", "place": "the engine"}],
        }
    }


async def test_nothing_secret_is_served(plan: Plan, serve: Serve) -> None:
    env = Origin(layer=Layer.ENV, place="NIM_PASSTHROUGH_ARGS")
    config = {
        "api_key": Value(value=["sk-1"], origin=env, previous=(Value(value="sk-2", origin=env),)),
        "hf_token": Value(value=None, origin=env),
        "kv_transfer_config": Value(value={"extra": [{"password": "sk-3", "tokens": 7}]}, origin=env),
    }
    body = await metadata(replace(plan, config=config), serve)
    assert "sk-" not in json.dumps(body)
    assert body["config"]["api_key"]["value"] == MASK
    assert body["config"]["hf_token"]["value"] is None
    assert body["config"]["kv_transfer_config"]["value"] == {"extra": [{"password": MASK, "tokens": 7}]}


async def test_metadata_has_the_last_failure(plan: Plan, serve: Serve) -> None:
    put_state(plan, state(phase=Phase.RESTARTING, restarts=(("gpu-out-of-memory", 2),), failure=FAILURE))
    body = await metadata(plan, serve)
    jsonschema.validate(body, management_openapi.schemas()["NimMetadata"])
    assert (body["state"]["phase"], body["state"]["ready"]) == ("restarting", False)
    assert body["state"]["restarts"] == {"gpu-out-of-memory": 2}
    assert body["state"]["failure"] == {
        "class": "gpu-out-of-memory",
        "message": "the GPU's memory was not enough",
        "hint": "NIM_MAX_MODEL_LEN=4096",
        "log": ["torch.OutOfMemoryError"],
        "exit_code": None,
        "signal": 9,
    }


async def test_a_plan_completed_later_is_the_one_reported(plan: Plan, serve: Serve) -> None:
    service = await serve(plan)
    put_plan(replace(plan, profile=replace(plan.profile, because="all of it is known now")))
    async with service.get("/v1/metadata") as answer:
        assert (await answer.json())["profile"]["because"] == "all of it is known now"


async def test_startup_follows_the_state(plan: Plan, serve: Serve) -> None:
    service = await serve(plan)
    loading = state(progress=0.25, eta_seconds=12.5, done=(PhaseDone(phase=Phase.FETCH, seconds=3.5),))
    put_state(plan, loading)
    async with service.get("/v1/health/startup") as answer:
        assert answer.status == 503
        assert answer.headers["Cache-Control"] == "no-store, no-cache, must-revalidate"
        phases = [{"phase": "fetch", "seconds": 3.5}]
        assert await answer.json() == json.loads(loading.health()) | {"phases": phases, "download": None}
    download = DownloadState(have_bytes=5, total_bytes=10, bytes_per_second=2)
    put_state(plan, replace(loading, download=download))
    async with service.get("/v1/health/startup") as answer:
        expected = {"have_bytes": 5, "total_bytes": 10, "bytes_per_second": 2}
        assert (await answer.json())["download"] == expected
    put_state(plan, state(phase=Phase.READY, message="ready", ready=True))
    async with service.get("/v1/health/startup") as answer:
        assert answer.status == 200
        assert (await answer.json())["status"] == "ready"


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"phase": "dancing"}'])
async def test_a_broken_state_file_leaves_the_last_good_one(plan: Plan, serve: Serve, broken: str) -> None:
    service = await serve(plan)
    put_state(plan, state(message="loading weights"))
    async with service.get("/v1/health/startup") as answer:
        assert (await answer.json())["message"] == "loading weights"
    put(plan.file(STATE_FILE), broken)
    async with service.get("/v1/health/startup") as answer:
        assert (await answer.json())["message"] == "loading weights"


async def test_version_has_both_keys(plan: Plan, serve: Serve) -> None:
    service = await serve(plan)
    async with service.get("/v1/version") as answer:
        assert await answer.json() == {"release": "0.1.0", "api": "1.0.0"}


async def licence(plan: Plan, serve: Serve) -> Any:
    service = await serve(plan)
    async with service.get("/v1/license") as answer:
        assert answer.status == 200
        return await answer.json()


async def test_the_model_s_own_licence(plan: Plan, serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "LICENSE.txt"
    text = "Erlaubnis: frei – 許可\n"
    file.write_text(text, encoding="utf-8")
    model = replace(plan.model, license_file=str(file), license_name="Open Model Licence")
    assert await licence(replace(plan, model=model), serve) == {
        "name": "Open Model Licence",
        "path": str(file),
        "sha": hashlib.sha256(text.encode()).hexdigest(),
        "size": len(text.encode()),
        "url": None,
        "type": "file",
        "content": text,
    }


async def test_a_licence_that_is_still_being_fetched_is_unknown(plan: Plan, serve: Serve) -> None:
    model = replace(plan.model, license_file="/nowhere/LICENSE", license_name=None)
    body = await licence(replace(plan, model=model), serve)
    assert (body["name"], body["path"]) == ("LICENSE", "/nowhere/LICENSE")
    assert [body[key] for key in ("sha", "size", "content")] == [None, None, None]


async def test_a_licence_known_by_name_does_not_get_our_text(plan: Plan, serve: Serve) -> None:
    body = await licence(replace(plan, model=replace(plan.model, license_name="llama3")), serve)
    assert (body["name"], body["path"], body["content"]) == ("llama3", None, None)


async def test_a_model_without_licence_shows_the_service_s(plan: Plan, serve: Serve) -> None:
    body = await licence(plan, serve)
    assert (body["name"], body["path"]) == ("Apache-2.0", str(data_paths.LICENSE))
    assert body["content"] == data_paths.LICENSE.read_text(encoding="utf-8")


async def test_the_manifest_names_the_profile_chosen(plan: Plan, serve: Serve) -> None:
    service = await serve(plan)
    put_manifest(plan, DOCUMENT)
    async with service.get("/v1/manifest") as answer:
        body = await answer.json()
    assert body["selected_profile"] == PROFILE_ID
    assert (body["schema_version"], body["profiles"][0]["tags"]) == ("2.0.0", {"tp": "1"})
    assert body["profiles"][0]["engine"]["env"] == {"HF_TOKEN": MASK}


async def test_a_model_without_manifest_has_none(plan: Plan, serve: Serve) -> None:
    service = await serve(plan)
    async with service.get("/v1/manifest", headers={"X-Request-Id": "r-1"}) as answer:
        assert answer.status == 404
        error = (await answer.json())["error"]
    assert (error["code"], error["request_id"]) == ("no_manifest", "r-1")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/metadata/", 404, "not_found"),
        ("POST", "/v1/chat/completions", 404, "not_found"),
        ("POST", "/v1/metadata", 405, "method_not_allowed"),
        ("DELETE", "/v1/metrics", 405, "method_not_allowed"),
    ],
)
async def test_refusals_have_openai_s_shape(
    plan: Plan, serve: Serve, method: str, path: str, status: int, code: str
) -> None:
    service = await serve(plan)
    async with service.request(method, path, headers={"X-Request-Id": "r-2"}) as answer:
        assert (answer.status, answer.content_type) == (status, "application/json")
        assert answer.headers.get("Allow") == ("GET, HEAD" if status == 405 else None)
        body = await answer.json()
    jsonschema.validate(body, management_openapi.schemas()["NimError"])
    assert body["error"]["code"] == code
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["request_id"] == "r-2"


async def test_an_error_of_ours_keeps_the_shape_and_hides_the_reason(
    plan: Plan, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    unspeakable = Value(value={1, 2}, origin=Origin(layer=Layer.DERIVED, place="a set is not JSON"))
    service = await serve(replace(plan, config={"odd": unspeakable}))
    async with service.get("/v1/metadata") as answer:
        assert answer.status == 500
        error = (await answer.json())["error"]
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert "serializable" not in error["message"]
    assert "serializable" in caplog.text


async def test_a_file_that_cannot_be_read_is_not_the_end(plan: Plan, serve: Serve) -> None:
    plan.file(STATE_FILE).mkdir()
    service = await serve(plan)
    async with service.get("/v1/health/startup") as answer:
        assert (answer.status, (await answer.json())["phase"]) == (503, "unknown")


async def test_the_index_is_json_for_programs_and_a_page_for_browsers(plan: Plan, serve: Serve) -> None:
    model = replace(plan.model, served_names=("a <b> & c",))
    service = await serve(replace(plan, model=model))
    async with service.get("/") as answer:
        body = await answer.json()
        assert (body["models"], body["ready"]) == (["a <b> & c"], False)
        assert body["links"]["ready"] == "/v1/health/ready"
        assert answer.headers["Vary"] == "Accept"
    browser = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
    async with service.get("/", headers=browser) as answer:
        text = await answer.text()
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "<h1>a &lt;b&gt; &amp; c</h1>" in text
        assert 'href="v1/health/ready"' in text


async def test_the_index_links_only_to_what_is_open(plan: Plan, serve: Serve) -> None:
    gateway = replace(plan.gateway, route_groups=("management",))
    service = await serve(replace(plan, gateway=gateway))
    async with service.get("/") as answer:
        links = (await answer.json())["links"]
    assert {"docs", "openapi", "models"} & links.keys() == set()
    assert links["metadata"] == "/v1/metadata"
