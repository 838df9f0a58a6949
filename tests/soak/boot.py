"""As `tests/process/boot.py`, with the PID 1 of `init_with_short_delays.py`."""

import importlib
from pathlib import Path

from nim.supervision import launch

launch.INIT = ("-I", str(Path(__file__).with_name("init_with_short_delays.py")))
importlib.import_module("tests.process.boot")
