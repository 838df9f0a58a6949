"""Store measurements in files, one for each block."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.gateway.figures import Sample, Samples


@dataclass(slots=True, kw_only=True)
class Record:
    """What one block gave."""

    about: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    checks: dict[str, dict[str, str]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def of_json(cls, text: str) -> "Record":
        data = json.loads(text)
        return cls(**data | {"samples": [Sample(**sample) for sample in data["samples"]]})


def joined(records: Iterable[Record]) -> Record:
    """Return all of them as one. Who is in several blocks keeps what the first said."""
    whole = Record()
    for record in records:
        for name in ("about", "missing", "failed", "started", "checks"):
            mine = getattr(whole, name)
            mine |= {key: value for key, value in getattr(record, name).items() if key not in mine}
        whole.troubles += record.troubles
        whole.samples += record.samples
    return whole


@dataclass(frozen=True, slots=True)
class Records:
    """The folder of one run."""

    folder: Path

    def forget(self, blocks: Iterable[str]) -> None:
        """Delete the records of an earlier run."""
        for name in blocks:
            self._path(name).unlink(missing_ok=True)

    def has(self, block: str) -> bool:
        return self._path(block).exists()

    def write(self, block: str, record: Record) -> None:
        """Write a record atomically."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self._path(block).with_suffix(".draft")
        draft.write_text(record.to_json(), encoding="utf-8")
        draft.rename(self._path(block))

    def read(self, blocks: Iterable[str]) -> Record:
        """Return all that there is of these, in their order."""
        there = [self._path(block) for block in blocks if self.has(block)]
        return joined(Record.of_json(path.read_text(encoding="utf-8")) for path in there)

    def _path(self, block: str) -> Path:
        return self.folder / f"{block}.json"


def samples_of(record: Record) -> Samples:
    return Samples.of(record.samples)
