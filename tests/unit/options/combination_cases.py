"""Cases in YAML: arguments that the engine refuses, similar accepted ones, and the refusal's text."""

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One pair of lines; the file's head says what the fields are."""

    bad: str
    good: str
    theirs: str
    ours: str
    hint: str
    experts: int | None = None
    elsewhere: str | None = None


CASES = [
    Case(**row) for row in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
]
