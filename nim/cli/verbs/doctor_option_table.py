"""`nim doctor options`: check whether the option table matches the installed vLLM.

`nim doctor stream --url …`: check whether an ingress passes streams unharmed; see `nim doctor stream -h`.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from nim.errors import PreflightError


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `nim doctor`: compare the option table with the installed vLLM; return 1 if they differ."""
    if arguments[:1] == ["stream"]:
        # imports aiohttp, which the other subcommand does not need
        from nim.cli.verbs.doctor_stream import run as examine_ingress

        return examine_ingress(arguments[1:], environ)
    parser = argparse.ArgumentParser(
        prog="nim doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subject", choices=["options"], nargs="?", default="options", help="what to check")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    command = (sys.executable, "-m", "nim.engine.generate_option_table", "--check")
    done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise PreflightError(f"cannot build the engine's own parser: {last}", hint="make setup")
    print(done.stdout if options.json else _text(json.loads(done.stdout)), end="")
    return done.returncode


def _text(drift: Mapping[str, Any]) -> str:
    """Return the differences between option table and engine as text."""
    lines = [f"table: vLLM {drift['table']}; installed: vLLM {drift['installed']}"]
    for title in ("added", "removed", "variables_added", "variables_removed"):
        lines += [f"{title.replace('_', ' ')}: {', '.join(drift[title])}"] if drift[title] else []
    lines += [f"changed: {name} ({', '.join(what)})" for name, what in drift["changed"].items()]
    return "\n".join(lines if len(lines) > 1 else [*lines, "no difference"]) + "\n"
