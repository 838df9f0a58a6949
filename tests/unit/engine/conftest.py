import pytest

from nim.engine.option_table import OptionTable, load_options


@pytest.fixture(scope="session")
def table() -> OptionTable:
    """Return the committed table."""
    return load_options()
