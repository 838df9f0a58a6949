"""The options `--hardware` and `--gpus`, with which a command plans for another machine."""

import argparse
from collections.abc import Mapping

from nim.hardware import Hardware, detect_hardware, hardware_from_gpus, load_hardware


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options `--hardware FILE` and `--gpus 8xH200`, which exclude each other, to a parser."""
    machine = parser.add_mutually_exclusive_group()
    machine.add_argument("--hardware", metavar="FILE", help="the machine that `nim hardware --json` wrote")
    machine.add_argument("--gpus", metavar="GPUS", help="a made-up machine, such as 8xH200 or 2xB200")


def is_other_machine(options: argparse.Namespace) -> bool:
    """Return whether `--hardware` or `--gpus` was given, be it empty."""
    return options.gpus is not None or options.hardware is not None


def find_hardware(options: argparse.Namespace, environ: Mapping[str, str]) -> Hardware:
    """Return the Hardware named by the options, or detect this machine's; or HardwareError."""
    if options.hardware is not None:
        return load_hardware(options.hardware)
    return detect_hardware(environ) if options.gpus is None else hardware_from_gpus(options.gpus)
