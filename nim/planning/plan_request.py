"""The input of the planner: settings, environment, hardware and engine arguments of one command."""

from collections.abc import Mapping
from dataclasses import dataclass

from nim.hardware import Hardware
from nim.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Settings, environment, hardware and engine arguments of one command.

    `other_machine`: the hardware is not this machine's, so the engine need not be installed.
    """

    settings: Settings
    environ: Mapping[str, str]
    hardware: Hardware
    arguments: tuple[str, ...] = ()
    other_machine: bool = False
