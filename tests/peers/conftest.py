"""Two real services with the demo model and the routes that tools for a bare engine ask for."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Service, serving

MODEL = ROOT / "profiles/demo/model"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this directory."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.peers)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(serving(tmp_path_factory.mktemp(name), NIM_ROUTES="+router"))
            for name in ("first", "second")
        )
        yield first, second


@pytest.fixture
def service(services: tuple[Service, Service]) -> Service:
    return services[0]
