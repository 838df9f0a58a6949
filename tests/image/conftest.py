"""One build for the whole suite."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.storage import TOOLS, Storage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip without root, and allow minutes for a build and a start of the engine."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.image)
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(scope="session")
def storage() -> Iterator[Storage]:
    """Yield a container storage with the image of this checkout."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        pytest.fail(f"cannot build and run images without {', '.join(missing) or 'root'}: make test-image")
    built = Storage()
    built.configure()
    built.make_base()
    built.build()
    yield built
    built.let_go()
