"""The classes of this project that vLLM loads, and when (case B40)."""

import json
from pathlib import Path
from typing import Any

import pytest

from nim.errors import SettingsError
from nim.plan import Plan
from nim.routes import ASSET_UPLOAD
from tests.unit.planning.checks.test_check_options import plan_of

CATALOG = "nim.vllm_plugins.catalog_requests.asgi_middleware.Catalog"
BOUNDED = "nim.vllm_plugins.bounded_structured_outputs.BoundedStructuredOutputs"
SIZE = "NIM_MAX_STRUCTURED_OUTPUT_SIZE"
OMNI = {"NIM_MODEL_NAME": "nvidia/nemotron-3-nano-omni-30b-a3b-reasoning", "NIM_MODEL_PATH": ""}


def rules(plan: Plan) -> Any:
    return json.loads(plan.engine.env["NIM_CATALOG_RULES"])


def test_without_a_word_of_it_there_is_no_catalog(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert CATALOG not in plan.engine.argv
    assert "NIM_CATALOG_RULES" not in plan.engine.env
    assert "--allowed-local-media-path" not in plan.engine.argv
    assert "assets" not in plan.gateway.route_groups
    assert not any("nvcf" in file.text for file in plan.files)


def test_the_manifest_of_the_model_asks_for_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, **OMNI)
    argv = [*plan.engine.argv]
    assert argv.count(CATALOG) == 1
    assert argv[argv.index(CATALOG) - 1] == "--middleware"
    assert argv[argv.index("--allowed-local-media-path") + 1] == str(plan.file("assets"))
    assert rules(plan) == {
        "strict": False,
        "default_budget": 16384,
        "assets": str(plan.file("assets")),
        "allowed": str(plan.file("assets")),
        "trusts_platform": False,
        "has_key": False,
    }
    assert "assets" in plan.gateway.route_groups
    nginx = next(file.text for file in plan.files if file.path == "nginx.conf")
    upload = nginx[nginx.index(ASSET_UPLOAD.partition("{")[0] + "(?<asset_id>[A-Za-z0-9._:-]+)/upload") :]
    assert "proxy_request_buffering off;" in upload[:400]
    assert 'client_max_body_size "2g";' in upload[:400]
    off = plan_of(tmp_path, **OMNI, NIM_CATALOG="0")
    assert CATALOG not in off.engine.argv


def test_the_setting_asks_for_it_for_any_model(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "--middleware", "mine.Class", NIM_CATALOG="strict", NIM_ASSETS_MAX_SIZE="5m")
    assert rules(plan)["strict"]
    assert rules(plan)["default_budget"] is None, "no reasoning parser"
    assert plan.config["middleware"].value[-1] == "mine.Class"
    assert CATALOG in plan.config["middleware"].value
    assert plan.gateway.assets_bytes == 5 * 2**20
    own = plan_of(
        tmp_path, "--allowed-local-media-path", "/media", NIM_CATALOG="1", NIM_CATALOG_TRUST_NVCF="1"
    )
    assert (rules(own)["allowed"], rules(own)["trusts_platform"]) == ("/media", True)


def test_the_store_cannot_be_opened_alone(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="the group assets") as refused:
        plan_of(tmp_path, NIM_ROUTES="+assets")
    assert refused.value.hint == "NIM_CATALOG=1"
    closed = plan_of(tmp_path, NIM_CATALOG="1", NIM_ROUTES="-assets")
    assert "assets" not in closed.gateway.route_groups


def test_structured_outputs_have_a_bound_that_a_setting_changes_or_removes(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    value = plan.config[SIZE]
    assert (value.value, str(value.origin)) == ("100k", "DEFAULT (nim: bounds of one request)")
    assert plan.engine.env[SIZE] == "100k"
    assert BOUNDED in plan.engine.argv
    larger = plan_of(tmp_path, NIM_MAX_STRUCTURED_OUTPUT_SIZE="1M")
    assert larger.engine.env[SIZE] == "1m"
    assert str(larger.config[SIZE].origin) == f"ENV ({SIZE})"
    for none in ("0", "0k"):
        unbounded = plan_of(tmp_path, NIM_MAX_STRUCTURED_OUTPUT_SIZE=none)
        assert BOUNDED not in unbounded.engine.argv
    with pytest.raises(SettingsError, match="expected a size"):
        plan_of(tmp_path, NIM_MAX_STRUCTURED_OUTPUT_SIZE="many")
