"""`huggingface-cli download REPO`, as jobs of the NIM operator call it: `nim store`, else `nim fetch`.

The hub's own package no longer has a command of this name.
"""

import argparse
from collections.abc import Mapping, Sequence

from nim.cli.verbs import fetch, store
from nim.errors import SettingsError

ABOUT = """\
Download the files of a model that the engine loads, by name into a directory, or into the cache without one.

The same as `nim store -m DIR --model-repo hf://REPO`, or `nim fetch --model-uri hf://REPO`. HF_TOKEN,
HF_ENDPOINT and similar variables apply. For everything else that the hub's client can do, use `hf`."""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Download a model, print the directory; return the exit code. SettingsError for other repositories."""
    options = _parser().parse_args(arguments)
    if options.repo_type != "model":
        raise SettingsError(
            f"cannot download {options.repo} as --repo-type '{options.repo_type}'",
            allowed=["model"],
            hint=f"hf download {options.repo} --repo-type {options.repo_type} --local-dir …",
        )
    uri = f"hf://{options.repo}" + (f":{options.revision}" if options.revision else "")
    if options.local_dir is None:
        return fetch.run(["--model-uri", uri], environ)
    made = store.create(["--model-repo", uri, "--model-store", options.local_dir], environ)
    print(made["directory"])
    return 0


def _parser() -> argparse.ArgumentParser:
    """Return the ArgumentParser of `huggingface-cli`."""
    parser = argparse.ArgumentParser(
        prog="huggingface-cli", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["download"])
    parser.add_argument("repo", metavar="REPO", help="org/name")
    parser.add_argument("--local-dir", metavar="DIR", help="the directory to write; the cache without it")
    parser.add_argument("--repo-type", default="model", metavar="TYPE", help="model; others are refused")
    parser.add_argument("--revision", metavar="NAME", help="a branch, a tag or a commit")
    return parser
