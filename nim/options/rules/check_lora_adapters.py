"""Checks of the adapters of `--lora-modules` against the limits and names of this start."""

from collections.abc import Iterator, Sequence

from nim.engine.arguments.argument_error_messages import Refusal, refuse_all
from nim.models.fit_lora_adapter import other_base
from nim.models.read_lora_adapters import Adapter
from nim.options.rules.rule_types import Said

_OPTION = "lora_modules"


def check_adapters(
    said: Said, adapters: Sequence[Adapter], base_names: Sequence[str], *, strict: bool = True
) -> tuple[str, ...]:
    """Return warnings about LoRA adapters; if `strict`, SettingsError for those the engine refuses.

    `base_names` are the names of the model that is served, where known.
    """
    refused = [*_same_names(said, adapters)]
    for adapter in adapters:
        refused += _faults(said, adapter)
    if refused and strict:
        raise refuse_all(refused, said.flag(_OPTION))
    warnings = [f"{one.one_line()}; the engine refuses it" for one in refused]
    doubts = (other_base(one, base_names) for one in adapters)
    return (*warnings, *(doubt for doubt in doubts if doubt))


def _faults(said: Said, adapter: Adapter) -> Iterator[Refusal]:
    """Yield a Refusal for a rank above the limit and for unusable files of one adapter."""
    what = f"cannot use the adapter {adapter.name} '{adapter.path}' ({said.config[_OPTION].origin.place})"
    limit = said.number("max_lora_rank")
    if adapter.rank is not None and limit is not None and adapter.rank > limit:
        message = f"{what}: its rank {adapter.rank} is above {said.flag('max_lora_rank')}"
        yield Refusal(message=message, hint=_enough(said, adapter.rank))
    if fault := "there is no such directory" if adapter.is_missing else adapter.fault:
        yield Refusal(message=f"{what}: {fault}", hint=f"--lora-modules {adapter.name}=… another directory")


def _enough(said: Said, rank: int) -> str:
    """Return what to type for a sufficient --max-lora-rank, as text."""
    choices = [choice for choice in said.table.options["max_lora_rank"].choices if choice >= rank]
    beside = "max_lora_rank" if said.given("max_lora_rank") else _OPTION
    return said.write("max_lora_rank", min(choices), beside) if choices else "an adapter of a smaller rank"


def _same_names(said: Said, adapters: Sequence[Adapter]) -> Iterator[Refusal]:
    """Yield a Refusal for each adapter whose name the model or another adapter has."""
    served = said.get("served_model_name")
    taken = {str(name) for name in served} if isinstance(served, list | tuple) else set[str]()
    for adapter in adapters:
        if adapter.name in taken:
            message = f"cannot call the adapter '{adapter.path}' \"{adapter.name}\": the name is taken"
            yield Refusal(message=message, hint=f"--lora-modules {adapter.name}-2={adapter.path}")
        taken.add(adapter.name)
