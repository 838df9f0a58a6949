"""The route table has exactly the routes of the pinned engine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nim.routes import ADAPTER_ROUTES, ROUTES, Target
from tests.gateway.list_engine_routes import ENVIRONMENT

pytestmark = [pytest.mark.engine, pytest.mark.slow]  # their answer changes only with the pinned vLLM
LISTER = Path(__file__).with_name("list_engine_routes.py")


@pytest.fixture(scope="module")
def engine() -> Any:
    """Return the engine's version and routes, told by a process that may import it."""
    found = subprocess.run(
        [sys.executable, str(LISTER)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | ENVIRONMENT,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_each_of_the_engines_routes_is_in_a_group(engine: Any) -> None:
    table = {route.path for route in ROUTES}
    missing = {path for _, path in engine["routes"]} - table
    assert not missing, f"put these routes of vLLM {engine['version']} into a group of nim/routes.py"


def test_the_table_names_the_engines_methods(engine: Any) -> None:
    known = {(method, path) for method, path in engine["routes"] if method != "HEAD"}
    ours = {
        (method, route.path) for route in ROUTES if route.target is Target.ENGINE for method in route.methods
    }
    assert ours - known == set()
    answered_here = {("GET", path) for path in ("/openapi.json", "/docs", "/health", "/metrics")}
    answered_here |= {("POST", path) for path in ADAPTER_ROUTES}
    assert known - ours == answered_here, "by the gateway and the middleware, with ours merged in"
