"""Check an adapter's files before the engine is asked to load them."""

import zipfile
from pathlib import Path

from nim.frozen_dataclass import frozen_dataclass
from nim.middleware.adapters.scan_source import FoundAdapter
from nim.models.checkpoint.safetensors_header import DamagedFile, read_tensor_bytes
from nim.models.fit_lora_adapter import other_base, rank_fault
from nim.models.read_lora_adapters import CONFIG, WEIGHTS, Adapter, read_adapters
from nim.plan import AdapterPlan


@frozen_dataclass
class Checked:
    """What the check of an adapter found.

    `fault` is why it is not loaded; `is_incomplete`: because files are missing or cut short, as while it is
    written. `doubt` is a reason for a warning.
    """

    rank: int | None = None
    base: str | None = None
    fault: str | None = None
    is_incomplete: bool = False
    doubt: str | None = None


def check_adapter(found: FoundAdapter, plan: AdapterPlan) -> Checked:
    """Return the Checked of an adapter, by its files, the rank limit and the names of the base model."""
    if lack := _lack(found):
        return Checked(fault=lack, is_incomplete=True)
    adapter = read_adapters([{"name": found.name, "path": str(found.directory)}])[0]
    fault = adapter.fault or rank_fault(adapter, plan.max_rank)
    return (
        Checked(rank=adapter.rank, base=adapter.base, fault=fault, doubt=other_base(adapter, plan.base_names))
        if fault
        else _with_weights(found, adapter, plan)
    )


def _with_weights(found: FoundAdapter, adapter: Adapter, plan: AdapterPlan) -> Checked:
    """Return the Checked of an adapter whose configuration is well: its weights may be cut short."""
    weights = next(name for name in WEIGHTS if name in found.files)
    cut = _cut_short(found.directory / weights)
    return Checked(
        rank=adapter.rank,
        base=adapter.base,
        fault=f"{weights} is {cut}" if cut else None,
        is_incomplete=cut is not None,
        doubt=other_base(adapter, plan.base_names),
    )


def _lack(found: FoundAdapter) -> str | None:
    """Return which of the files that every adapter has is missing, as text; None if none is."""
    if CONFIG not in found.files:
        return f"it has no {CONFIG}"
    return None if set(found.files) & set(WEIGHTS) else f"it has no weights ({WEIGHTS[0]})"


def _cut_short(weights: Path) -> str | None:
    """Return what is wrong with a file of weights, as text; None if it looks whole."""
    try:
        if weights.suffix != ".safetensors":
            return None if zipfile.is_zipfile(weights) else "not whole, or not a file of torch.save"
        return "not written yet" if read_tensor_bytes(weights) is None else None
    except (DamagedFile, OSError) as error:
        return str(error)
