"""What the controller of a service works with."""

from collections.abc import Callable
from dataclasses import field

from nim.event_loop import EventLoop
from nim.frozen_dataclass import frozen_dataclass
from nim.logging.log_writer import LogWriter
from nim.plan import Plan
from nim.supervision.restart_policy import RestartPolicies
from nim.supervision.supervisord.rpc_client import Supervisor


@frozen_dataclass
class ControllerContext:
    """What the controller works with. `supervisor_pid` is a child of this process."""

    plan: Plan
    loop: EventLoop
    supervisor: Supervisor
    supervisor_pid: int
    log_writer: LogWriter
    catch_up: Callable[[str], None]
    api_key: str | None = None
    policies: RestartPolicies = field(default_factory=RestartPolicies)
