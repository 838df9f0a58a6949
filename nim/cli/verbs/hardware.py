"""`nim hardware`: the hardware of this machine. Its JSON can be replayed with `--hardware FILE`."""

import argparse
from collections.abc import Mapping, Sequence

from nim.cli.machine_options import add_machine_options, find_hardware
from nim.hardware import describe_hardware, hardware_to_json
from nim.log_format import printable


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim hardware`: print this machine's or the given hardware as text or JSON; return 0."""
    parser = argparse.ArgumentParser(prog="nim hardware", description=__doc__)
    parser.add_argument("--json", action="store_true", help="as data, to keep or to send")
    add_machine_options(parser)
    options = parser.parse_args(arguments)
    hardware = find_hardware(options, environ)
    print(hardware_to_json(hardware) if options.json else printable(describe_hardware(hardware)))
    return 0
