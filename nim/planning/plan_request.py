"""The input of the planner: settings, environment, hardware and engine arguments of one command."""

from collections.abc import Mapping

from nim.frozen_dataclass import frozen_dataclass
from nim.hardware import Hardware
from nim.settings import Settings


@frozen_dataclass
class Request:
    """Settings, environment, hardware and engine arguments of one command.

    `other_machine`: the hardware is not this machine's, so the engine need not be installed.
    """

    settings: Settings
    environ: Mapping[str, str]
    hardware: Hardware
    arguments: tuple[str, ...] = ()
    other_machine: bool = False
