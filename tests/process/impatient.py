"""PID 1 with pauses and healthy spells so short that a test can wait for them."""

import sys
from pathlib import Path

from nim.process import engine_keeper
from nim.process.guard import Policies
from nim.process.init import main
from nim.process.restarts import Policy

ENGINE = Policy(first_delay_seconds=0.05, longest_delay_seconds=0.2, tries=2, healthy_seconds=3600)
NGINX = Policy(first_delay_seconds=0, longest_delay_seconds=0, tries=2, healthy_seconds=3600)
MIDDLEWARE = Policy(first_delay_seconds=0.05, longest_delay_seconds=0.2, tries=None, healthy_seconds=60)

engine_keeper.PART_LOST_SECONDS = engine_keeper.PART_LOST_STARTING_SECONDS = 1.0

sys.exit(main(Path(sys.argv[1]), Policies(engine=ENGINE, nginx=NGINX, middleware=MIDDLEWARE)))
