"""Whether a LoRA adapter suits the model that is served: its rank, and the name of its base."""

from collections.abc import Sequence

from nim.models.read_lora_adapters import Adapter

# The ranks that vLLM can be started with: config/lora.py, MaxLoRARanks.
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def rank_fault(adapter: Adapter, limit: int | None) -> str | None:
    """Return why an adapter's rank is too high for `--max-lora-rank`, with what would do; None if it fits."""
    if adapter.rank is None or limit is None or adapter.rank <= limit:
        return None
    enough = next((rank for rank in RANKS if rank >= adapter.rank), None)
    remedy = f": NIM_MAX_LORA_RANK={enough}" if enough else ", and the engine takes no higher one"
    return f"its rank {adapter.rank} is above --max-lora-rank {limit}{remedy}"


def other_base(adapter: Adapter, base_names: Sequence[str]) -> str | None:
    """Return a warning if the adapter was trained on another model, by the last part of the name; or None."""
    names = {_last_part(name) for name in base_names if name}
    if not adapter.base or not names or _last_part(adapter.base) in names:
        return None
    trained = f"the adapter {adapter.name} was trained on {adapter.base}, not on {base_names[0]}"
    return f"{trained}: it may answer nonsense"


def _last_part(name: str) -> str:
    """Return the text after the last / of a model's name, without a revision, in lower case."""
    return name.rstrip("/").rpartition("/")[2].partition(":")[0].casefold()
