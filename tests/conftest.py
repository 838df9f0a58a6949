"""Options of the whole suite."""

import pytest
from hypothesis import HealthCheck, settings

# A machine that stands still for a moment is no finding.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden cases' expectations anew")
