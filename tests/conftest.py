"""Options of the whole suite."""

import gc
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A shell that starts the suite in the background has it ignore these, and with it whoever it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# What is collected stays: looking for garbage among it only costs time.
gc.disable()

# A machine that stands still for a moment is no finding.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden cases' expectations anew")


@pytest.fixture
def directory() -> Iterator[Path]:
    """Yield a temporary directory whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="nim-") as path:
        yield Path(path)


def pytest_collection_finish() -> None:
    """Leave what was collected out of every later garbage collection."""
    gc.collect()
    gc.freeze()
    gc.enable()
