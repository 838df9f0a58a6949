"""PID 1 with delays and healthy times so short that a test can wait for them."""

import sys
from pathlib import Path

from nim.failures import report
from nim.supervision import judge_process_loss
from nim.supervision.pid1_main import main
from nim.supervision.restart_policy import RestartPolicies, RestartPolicy

ENGINE = RestartPolicy(first_delay_seconds=0.05, longest_delay_seconds=0.2, tries=2, healthy_seconds=3600)
NGINX = RestartPolicy(first_delay_seconds=0, longest_delay_seconds=0, tries=2, healthy_seconds=3600)
MIDDLEWARE = RestartPolicy(
    first_delay_seconds=0.05, longest_delay_seconds=0.2, tries=None, healthy_seconds=60
)

RUN_DIR = Path(sys.argv[1])
report.TERMINATION_LOG = RUN_DIR.with_name("termination-log")
judge_process_loss.PROCESS_LOST_SECONDS = 1.0
judge_process_loss.PROCESS_LOST_WHILE_STARTING_SECONDS = 2.0

sys.exit(main(RUN_DIR, RestartPolicies(engine=ENGINE, nginx=NGINX, middleware=MIDDLEWARE)))
