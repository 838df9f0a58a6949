"""The recorded verdicts: one JSON object a line, a line a model, by name."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nim.data_paths import ROOT

RECORD = Path(__file__).parent / "verdicts.jsonl"
UNRECORDED = ROOT / "build" / "oracle" / "verdicts.jsonl"
Verdict = dict[str, Any]


def read(path: Path = RECORD) -> dict[str, Verdict]:
    """Return the verdicts by the model's name."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {verdict["model"]: verdict for verdict in map(json.loads, lines)}


def write(verdicts: Iterable[Verdict], path: Path = RECORD) -> None:
    """Replace the record."""
    lines = sorted(verdicts, key=lambda verdict: str(verdict["model"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(line, sort_keys=True)}\n" for line in lines)
    path.with_suffix(".new").write_text(text, encoding="utf-8")
    path.with_suffix(".new").replace(path)
