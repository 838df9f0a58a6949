"""Compare our reading of a model with the engine's."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nim.cli.find_model_config import find_model
from nim.cli.verbs import model
from nim.models.facts import facts_of
from nim.models.weights.weight_matrices import Ranks
from nim.settings import read_settings

# How far sizes may lie apart; what is not a size must be equal.
BARS = {"parameter_bytes": 0.02, "cache_bytes": 0.01}
FACTS = ("heads", "kv_heads", "context", "quantization")
OTHER_FACTS = ("architecture", "head_size", "experts", "generates")
COLUMNS = (*FACTS, "tensor_parallel_sizes", *BARS)
_GPUS = {"9.0": "1xH100", "10.0": "1xB200"}
Verdict = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One column. Bytes are those on one GPU or, where they do not agree, where they lie farthest apart."""

    engine: Any
    ours: Any
    bar: float = 0.0

    @property
    def distance(self) -> float:
        """Return the difference as a part of the engine's value; infinite where it is no size, or unknown."""
        if self.ours == self.engine:
            return 0.0
        if not self.engine or self.ours is None or not self.bar:
            return float("inf")
        return float(abs(self.ours - self.engine) / self.engine)

    @property
    def agrees(self) -> bool:
        """Return whether ours is within the bar."""
        return self.distance <= self.bar


def compare(directory: Path, verdict: Verdict) -> dict[str, Compared]:
    """Return the columns of a model that the engine accepts."""
    gpus = _find_gpus(verdict)
    ours = {size: read_ours(directory, gpus, size) for size in list_accepted(verdict)}
    first = ours[list_accepted(verdict)[0]]
    # A model without attention has no heads: 0 for the engine, nothing for us.
    columns = {name: Compared(engine=verdict[name] or None, ours=first[name] or None) for name in FACTS}
    sizes = first["tensor_parallel_sizes"]
    columns["tensor_parallel_sizes"] = Compared(
        engine=list_accepted(verdict), ours=None if sizes is None else tuple(sizes)
    )
    for name, bar in BARS.items():
        pairs = [
            Compared(engine=verdict["tensor_parallel"][str(size)][name], ours=found[name], bar=bar)
            for size, found in ours.items()
        ]
        apart = [pair for pair in pairs if not pair.agrees]
        columns[name] = max(apart, key=lambda pair: pair.distance) if apart else pairs[0]
    return columns


def compare_other_facts(directory: Path, verdict: Verdict) -> dict[str, Compared]:
    """Return facts that the engine derives beside those of the columns."""
    ours = read_ours(directory, _find_gpus(verdict), list_accepted(verdict)[0])
    found = {**ours, "experts": (ours["experts"] or {}).get("count")}
    return {name: Compared(engine=verdict[name] or None, ours=found[name] or None) for name in OTHER_FACTS}


def compare_stages(directory: Path, verdict: Verdict) -> dict[str, Compared]:
    """Return the bytes on the fullest rank of a pipeline of two; nothing where the engine has none."""
    stages = verdict.get("pipeline_parallel", {}).values()
    if not stages or any("error" in stage for stage in stages):
        return {}
    ours = read_ours(directory, _find_gpus(verdict), 1, 2)
    return {
        name: Compared(engine=max(stage[name] for stage in stages), ours=ours[name], bar=bar)
        for name, bar in BARS.items()
    }


def compare_expert_parallel(directory: Path, verdict: Verdict) -> dict[str, Compared]:
    """Return the bytes of weights on one rank with `--enable-expert-parallel`, by tensor-parallel size."""
    facts = facts_of(find_model(str(directory), read_settings({}), {}).config)
    return {
        size: Compared(
            engine=placed["parameter_bytes"],
            ours=facts.rank_bytes(Ranks(tensor=int(size), expert_parallel=True)),
            bar=BARS["parameter_bytes"],
        )
        for size, placed in verdict.get("expert_parallel", {}).items()
        if "error" not in placed
    }


def _find_gpus(verdict: Verdict) -> str:
    return next(gpus for capability, gpus in _GPUS.items() if verdict["judged_by"].endswith(capability))


def list_accepted(verdict: Verdict) -> tuple[int, ...]:
    """Return the tensor-parallel sizes that the engine accepts."""
    found = verdict.get("tensor_parallel", {})
    return tuple(sorted(int(size) for size, placed in found.items() if "error" not in placed))


@cache
def read_ours(directory: Path, gpus: str, tensor_parallel: int, pipeline_parallel: int = 1) -> dict[str, Any]:
    """Return what `nim model --json` prints."""
    sizes = ["-tp", str(tensor_parallel), "-pp", str(pipeline_parallel)]
    arguments = [str(directory), "--json", "--gpus", gpus, *sizes]
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()):
        model.run(arguments, {})
    return dict(json.loads(printed.getvalue()))
