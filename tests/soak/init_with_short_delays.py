"""PID 1 with delays and healthy times so short that hundreds of losses fit into minutes."""

import sys
from pathlib import Path

from nim.supervision import judge_process_loss
from nim.supervision.pid1_main import main
from nim.supervision.restart_policy import RestartPolicies, RestartPolicy

# What has run so long was well: the next loss begins a new row.
HEALTHY_SECONDS = 1.0
ENGINE = RestartPolicy(
    first_delay_seconds=0.05, longest_delay_seconds=0.2, tries=3, healthy_seconds=HEALTHY_SECONDS
)
NGINX = RestartPolicy(
    first_delay_seconds=0, longest_delay_seconds=0, tries=2, healthy_seconds=HEALTHY_SECONDS
)
MIDDLEWARE = RestartPolicy(
    first_delay_seconds=0.05, longest_delay_seconds=0.2, tries=None, healthy_seconds=60
)

if __name__ == "__main__":
    judge_process_loss.PROCESS_LOST_SECONDS = 1.0
    sys.exit(main(Path(sys.argv[1]), RestartPolicies(engine=ENGINE, nginx=NGINX, middleware=MIDDLEWARE)))
