"""As `tests/process/boot.py`, with the PID 1 of `sturdy.py`."""

import importlib
from pathlib import Path

from nim.supervision import launch

launch.INIT = ("-I", str(Path(__file__).with_name("sturdy.py")))
importlib.import_module("tests.process.boot")
