"""The SDKs of OpenAI and Anthropic, in Python and in JavaScript, do the same with a service that has keys."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Service, serving
from tests.peers.sdk_journeys import JOURNEYS, run
from tests.peers.tools import SDKS
from tests.peers.tools import run as run_tool

KEY = "sk-journeys-0123456789abcdef"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"VLLM_API_KEY": KEY, "NIM_MAX_REQUESTS_PER_KEY": "2"}
    with serving(tmp_path_factory.mktemp("sdks"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def in_javascript(service: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Return {journey: None, or what failed}."""
    node = shutil.which("node")
    if node is None or SDKS.missing():
        pytest.skip(f"JavaScript was not tried: {SDKS.missing() or 'there is no node'}")
    script = str(Path(__file__).with_name("sdk_journeys.cjs"))
    place = {"NODE_PATH": str(SDKS.path("node_modules"))}
    found: dict[str, str | None] = json.loads(
        run_tool([node, script, service.root, KEY], tmp_path_factory.mktemp("node"), place)
    )
    return found


@pytest.mark.parametrize("name", JOURNEYS)
def test_in_python(service: Service, name: str) -> None:
    run(name, service.root, KEY)


@pytest.mark.parametrize("name", JOURNEYS)
def test_in_javascript(in_javascript: dict[str, str | None], name: str) -> None:
    assert in_javascript[name] is None


def test_both_languages_have_the_same_list(in_javascript: dict[str, str | None]) -> None:
    assert list(in_javascript) == list(JOURNEYS)
