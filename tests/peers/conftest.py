"""Two real services with the demo model and the routes that tools for a bare engine ask for."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Service, free_ports, serving

MODEL = ROOT / "profiles/demo/model"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this directory."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.peers)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def events_port() -> int:
    """Return the port on which the first service publishes what its cache holds."""
    (port,) = free_ports(1)
    return port


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory, events_port: int) -> Iterator[tuple[Service, Service]]:
    settings = {"NIM_ROUTES": "+router", "NIM_KV_EVENTS_PORT": str(events_port)}
    with ExitStack() as stack:
        first = stack.enter_context(serving(tmp_path_factory.mktemp("first"), **settings))
        second = stack.enter_context(serving(tmp_path_factory.mktemp("second"), NIM_ROUTES="+router"))
        yield first, second


@pytest.fixture
def service(services: tuple[Service, Service]) -> Service:
    return services[0]
