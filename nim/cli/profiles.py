"""`nim profiles`: the profiles of a model, and which of them this machine can run."""

import argparse
import json
from collections.abc import Mapping, Sequence

from nim.cli.launch import Request, read_manifest_for, wishes_of
from nim.cli.machine import add_machine_options, find_hardware
from nim.decide.listing import list_profiles, listing_data, listing_text
from nim.decide.model import wished_model
from nim.engine import find_engine
from nim.settings import read_settings


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the listing."""
    parser = argparse.ArgumentParser(prog="nim profiles", description=__doc__)
    parser.add_argument("model", nargs="?", help="a directory or hf://org/name, instead of NIM_MODEL_NAME")
    parser.add_argument("--json", action="store_true", help="as data")
    add_machine_options(parser)
    options = parser.parse_args(arguments)
    settings = read_settings(environ)
    made_up = bool(options.gpus or options.hardware)
    hardware = find_hardware(options, environ)
    request = Request(settings=settings, environ=environ, hardware=hardware, made_up=made_up)
    engine = None if made_up else find_engine()
    wishes = wishes_of(settings, (), engine, request)
    manifest = read_manifest_for(wished_model(settings, options.model), wishes)
    listing = list_profiles(manifest, hardware, wishes)
    print(json.dumps(listing_data(listing), indent=1) if options.json else listing_text(listing), end="")
    return 0
