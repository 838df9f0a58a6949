"""The options `--profile` and `--all`, with which a command takes the models of other profiles."""

import argparse


def add_profile_choice(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --profile and --all, of which one may be given; `what` is done with the models: "fetch", "copy"."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        *("-p", "--profile", "--profiles"),
        dest="profiles",
        nargs="+",
        action="extend",
        default=[],
        metavar="ID",
        help=f"{what} the models of these profiles, by id or label; needs no GPU",
    )
    which.add_argument("--all", action="store_true", help=f"{what} the models of every profile")
