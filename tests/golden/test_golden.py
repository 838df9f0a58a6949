"""Golden cases: one folder each, with its reason. No engine, network or GPU is needed.

`case.yaml` has `why`, `env`, `arguments`, and the machine: `gpus` (made up) or `hardware` (a file beside it).
`expect/` has the engine's arguments, its environment and the explanation, or the refusal. After a change that
is meant, `pytest tests/golden --update-golden` writes them anew, and the difference is the review.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from nim.data_paths import ROOT
from nim.engine import load_options, parse_arguments
from nim.errors import NimError
from nim.hardware import Hardware, hardware_from_gpus, load_hardware
from nim.plan import Plan
from nim.planning.plan_request import Request
from nim.planning.planner import decide
from nim.selection.explain_selection import explain
from nim.selection.select import Selection
from nim.settings import read_settings

CASES = Path(__file__).parent / "cases"
# The launcher's own defaults and addresses are the same in every case and would hide what differs.
EVERYWHERE = (
    "--disable-uvicorn-access-log",
    "--enable-offline-docs",
    "--enable-prompt-tokens-details",
    "--enable-scale-out",
    "--port",
    "--uds",
)


def cases() -> list[Path]:
    return sorted(path.parent for path in CASES.glob("*/case.yaml"))


@pytest.mark.parametrize("folder", cases(), ids=lambda folder: folder.name)
def test_case(folder: Path, request: pytest.FixtureRequest) -> None:
    case = yaml.safe_load((folder / "case.yaml").read_text(encoding="utf-8"))
    assert case["why"].strip().endswith(".")
    outcome = run(case, folder)
    expected = folder / "expect"
    if request.config.getoption("--update-golden"):
        write(expected, outcome)
    assert {path.name: path.read_text(encoding="utf-8") for path in expected.iterdir()} == outcome


def test_there_are_many_cases() -> None:
    assert len(cases()) >= 20


def decided(case: dict[str, Any], folder: Path) -> tuple[Plan, Selection]:
    """Return what the launcher comes to; `CASE` in a variable is the case's folder."""
    given = {name: str(value).replace("CASE", str(folder)) for name, value in case.get("env", {}).items()}
    env = {"HOME": "/home/user"} | given
    request = Request(
        settings=read_settings(env),
        environ=env,
        hardware=machine(case, folder),
        arguments=tuple(case.get("arguments", ())),
        other_machine=True,
    )
    return decide(request)


def run(case: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return file name → text of every result of the case."""
    try:
        plan, selection = decided(case, folder)
    except NimError as refusal:
        text = f"exit {refusal.exit_code}\n{refusal}\n"
        return {"error.txt": text.replace(str(folder), "CASE").replace(str(ROOT), "ROOT")}
    env = case.get("env", {})
    told = {name: value for name, value in plan.engine.env.items() if name in env or is_profiles(plan, name)}
    return {
        "vllm.args": lines_of(plan.engine.argv).replace(str(folder), "CASE").replace(str(ROOT), "ROOT"),
        "env.json": json.dumps(told, indent=1, sort_keys=True) + "\n",
        "explain.txt": explain(selection),
    }


def machine(case: dict[str, Any], folder: Path) -> Hardware:
    return (
        load_hardware(folder / case["hardware"]) if "hardware" in case else hardware_from_gpus(case["gpus"])
    )


def is_profiles(plan: Plan, name: str) -> bool:
    """Return whether the variable comes from the profile."""
    value = plan.config.get(name)
    return value is not None and value.origin.layer.name == "PROFILE"


def lines_of(argv: tuple[str, ...]) -> str:
    """Return one option a line, those that every case has left out."""
    lines: list[str] = []
    for word in argv:
        if word.startswith("--") or len(lines) < 3:
            lines.append(word)
        else:
            lines[-1] += f" {json.dumps(word, ensure_ascii=False) if set(word) & set(' {}') else word}"
    return "\n".join(line for line in lines if line.split()[0] not in EVERYWHERE) + "\n"


def write(expected: Path, outcome: dict[str, str]) -> None:
    """Replace the expected files."""
    expected.mkdir(exist_ok=True)
    for path in expected.iterdir():
        path.unlink()
    for name, text in outcome.items():
        (expected / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("folder", cases(), ids=lambda folder: folder.name)
def test_what_is_rendered_reads_back_as_it_was(folder: Path) -> None:
    case = yaml.safe_load((folder / "case.yaml").read_text(encoding="utf-8"))
    try:
        plan, _ = decided(case, folder)
    except NimError:
        pytest.skip("a refusal has no arguments")
    table = load_options()
    for name, value in plan.config.items():
        if name.isupper() or name in {"uds", "port", "host", "served_model_name"}:
            continue
        tokens = plan.engine.argv
        option = table.options[name]
        at = [
            i for i, t in enumerate(tokens) if t.partition("=")[0] in (*option.spellings, *option.negatives)
        ]
        if value.value is None or (value.value is False and not option.negatives):
            assert not at
            continue
        end = next((i for i in range(at[-1] + 1, len(tokens)) if tokens[i].startswith("--")), len(tokens))
        parsed = parse_arguments(tokens[at[0] : end], table, place="rendered")
        assert parsed.values[name] == value.value
