"""Become the service of a plan, as `nim serve` does: `boot.py PLAN_FILE [fast_restarts]`."""

import os
import sys
from pathlib import Path

from nim.errors import NimError
from nim.plan import Plan
from nim.supervision import launch, start

FAST_RESTARTS = Path(__file__).with_name("fast_restarts.py")

if "fast_restarts" in sys.argv:
    launch.INIT = ("-I", str(FAST_RESTARTS))
try:
    start(lambda: Plan.from_json(Path(sys.argv[1]).read_text(encoding="utf-8")), os.environ)
except NimError as refusal:
    sys.exit(f"{refusal}\nexit code {refusal.exit_code}")
