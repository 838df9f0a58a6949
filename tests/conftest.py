"""Options of the whole suite, and who runs beside whom."""

import pytest
from hypothesis import HealthCheck, settings

# A machine that stands still for a moment is no finding.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden cases' expectations anew")


@pytest.hookimpl(tryfirst=True)  # before the workers, which read the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers a file stays whole, and one of them alone has the real engine."""
    for item in items:
        group = "engine" if "e2e" in item.path.parts else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
