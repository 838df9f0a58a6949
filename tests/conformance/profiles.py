"""Checks of `list-model-profiles` and `nim-serve --dry-run`: profiles and flags."""

import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise

from tests.conformance.check import Check, Skipped, check, expect
from tests.conformance.image import COMMANDS, NIM_LOG, needs_launcher
from tests.conformance.launcher import Done
from tests.conformance.target import Target

PROFILES: list[Check] = []
DRY_RUN = "NIM documentation, --dry-run"
RUNNABLE = "- Compatible with system and runnable:"
GROUPS = (RUNNABLE, "- Incompatible with system:")
_ID = re.compile(r"- ([0-9a-f]{64})\b")
JSON = '{"temperature": 0.5, "top_p": 0.25}'


def _listing(target: Target) -> str:
    done = needs_launcher(target).run(["list-model-profiles"], NIM_LOG)
    expect(done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-200:]}")
    return done.stdout


def _runnable(listing: str) -> list[str]:
    """Return ids up to the next group."""
    return _ID.findall(re.split(r"\n- ", listing.partition(RUNNABLE)[2])[0])


def _dry_run(target: Target, flags: Sequence[str], env: Mapping[str, str]) -> Done:
    launcher = needs_launcher(target)
    done = launcher.run(["nim-serve", "--dry-run", *flags], env)
    if done.returncode and (alone := launcher.run(["nim-serve", "--dry-run"], {})).returncode:
        raise Skipped(f"nim-serve --dry-run alone ends with {alone.returncode}: {alone.stderr.strip()[:80]}")
    expect(done.returncode == 0, f"exit code {done.returncode}: {done.stderr.strip()[:200]}")
    return done


def _engine_flag(done: Done, name: str) -> list[str]:
    """Return each value that the engine would be given for a flag."""
    _, heading, command = done.stdout.partition("Backend Arguments")
    expect(heading, "no heading Backend Arguments")
    words = shlex.split(command.replace("\\\n", " "))
    return [after for word, after in pairwise(words) if word == name]


@check(PROFILES, "profiles are grouped by what runs here", COMMANDS, "C13")
def groups(target: Target) -> str:
    listing = _listing(target)
    missing = [group for group in GROUPS if group not in listing]
    expect(not missing, f"without the group {missing[:1]}")
    found = _ID.findall(listing)
    expect(found, "no id of 64 hex digits is listed")
    return f"{len(_runnable(listing))} of {len(found)} run here"


@check(PROFILES, "a profile that is listed as runnable is taken", COMMANDS, "C13")
def listed_profile(target: Target) -> None:
    found = _runnable(_listing(target))
    if not found:
        raise Skipped("none runs here")
    done = _dry_run(target, [], {"NIM_MODEL_PROFILE": found[-1]})
    expect(found[-1] in done.stdout, f"another than {found[-1][:12]} is chosen")


@check(PROFILES, "the command line wins, and of a flag the last", DRY_RUN, "C14")
def last_flag_wins(target: Target) -> None:
    flags = ["--max-num-seqs", "5", "--max-num-seqs", "6"]
    done = _dry_run(target, flags, {"NIM_PASSTHROUGH_ARGS": "--max-num-seqs 4"})
    found = _engine_flag(done, "--max-num-seqs")
    expect(found[-1:] == ["6"], f"--max-num-seqs is {found}, not 6")


@check(PROFILES, "JSON in passthrough arrives whole", DRY_RUN, "C15")
def passthrough_json(target: Target) -> None:
    done = _dry_run(target, [], {"NIM_PASSTHROUGH_ARGS": f"--override-generation-config '{JSON}'"})
    found = _engine_flag(done, "--override-generation-config")
    same = [one for one in found if one.replace(" ", "") == JSON.replace(" ", "")]
    expect(same, f"--override-generation-config is {found}, not {JSON}")
