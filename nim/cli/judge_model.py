"""The machine for which `nim model` judges a model, and the judgement: that of the planner."""

import argparse
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import field

from nim.cli.find_model_config import FoundModel
from nim.cli.machine_options import find_hardware, is_other_machine
from nim.errors import HardwareError
from nim.frozen_dataclass import frozen_dataclass
from nim.hardware import Hardware
from nim.models.facts import ModelFacts
from nim.models.find_model_faults import model_fault
from nim.models.generic_manifest import manifest_for_model
from nim.selection.find_named_profile import Asked
from nim.selection.fit_types import Fit, Kind, Miss, Wishes
from nim.selection.rank_profiles import sort_key
from nim.selection.select import compare_all, order_fitting
from nim.value_origins import Layer, Origin, Value


@frozen_dataclass
class Judgement:
    """How the model runs with `fit.parallel`: the sizes that were asked for, or that the planner chooses.

    `by_size` has all tensor-parallel sizes that the machine has the GPUs for, with the same pipeline stages.
    `whole` is `fit` with the longest context that the model takes. Bytes are of one rank; None is unknown.
    """

    fit: Fit
    whole: Fit
    tensor_parallel_sizes: tuple[int, ...] | None
    has_gpus: bool = False
    by_size: Mapping[int, Fit] = field(default_factory=dict)
    fault: str | None = None  # why the engine refuses the model, whatever the sizes

    @property
    def refusal(self) -> str | None:
        """Return text on why the engine refuses the model or these sizes; None if it does not."""
        return self.fault or self.split_refusal

    @property
    def split_refusal(self) -> str | None:
        """Return text on why the engine refuses these parallel sizes; None if it does not."""
        found = (miss for miss in self.fit.misses if miss.kind is Kind.SPLIT)
        return next((miss.found.partition(": ")[2] for miss in found), None)

    @property
    def context(self) -> int | None:
        """Return the context in tokens that was asked for or that the engine derives; None if unknown."""
        return self.fit.estimate.max_model_len

    @property
    def parameter_bytes(self) -> int | None:
        """Return the bytes of the weights on one rank; None if unknown."""
        return None if self.split_refusal else self.fit.estimate.weights_bytes

    @property
    def cache_bytes(self) -> int | None:
        """Return the bytes of KV cache, on one rank, for a sequence of the whole context; None if unknown."""
        cost, context = self.fit.estimate.cost, self.context
        if self.split_refusal or cost is None or context is None:
            return None
        return cost.sequence_bytes(context)

    @property
    def usable_bytes(self) -> int | None:
        """Return the bytes that the engine may take of each GPU; None without GPUs."""
        return self.fit.memory_fit.usable_bytes if self.has_gpus else None

    @property
    def free_bytes(self) -> int | None:
        """Return the bytes left for the cache, negative if the weights do not fit; None if unknown."""
        usable, least = self.usable_bytes, self.fit.estimate.least_bytes
        return None if usable is None or least is None or self.refusal else usable - least

    @property
    def longest(self) -> int | None:
        """Return the longest context in tokens that the memory holds; 0 if none, None if unknown."""
        estimate, usable = self.whole.estimate, self.usable_bytes
        if usable is None or estimate.cost is None or estimate.least_bytes is None or self.refusal:
            return None
        return estimate.longest(usable) or 0


def lacks(fit: Fit) -> tuple[Miss, ...]:
    """Return a tuple of the Misses of a Fit, without those about the context's length."""
    return tuple(miss for miss in fit.misses if miss.kind is not Kind.LENGTH)


def fits(fit: Fit) -> bool | None:
    """Return whether the model fits: False if something is missing, None if memory is unknown."""
    if lacks(fit):
        return False
    return None if fit.memory_fit.usable_bytes is None or fit.estimate.unknown else True


def machine_of(options: argparse.Namespace, environ: Mapping[str, str]) -> Hardware:
    """Return the Hardware in the options, or detect this machine's; without GPUs if none is found."""
    if is_other_machine(options):
        return find_hardware(options, environ)
    with suppress(HardwareError):
        return find_hardware(options, environ)
    return Hardware(gpus=(), source="none")


def judge(model: FoundModel, facts: ModelFacts, options: argparse.Namespace, machine: Hardware) -> Judgement:
    """Return a Judgement: how the model fits the machine, with the sizes asked for or chosen."""
    compared = _compare(model, facts, machine, options, options.max_model_len)
    stages, asked = options.pipeline_parallel_size, options.tensor_parallel_size
    here = {size: fit for size, fit in compared.items() if size * stages <= len(machine.gpus)}
    fit = compared[asked] if asked else _best(here, machine) or compared[min(compared)]
    limit = facts.reading.context.limit if facts.reading.context else None
    return Judgement(
        fit=fit,
        whole=_compare(model, facts, machine, options, limit)[fit.parallel.tensor],
        tensor_parallel_sizes=facts.tensor_parallel_sizes(),
        has_gpus=bool(machine.gpus),
        by_size=dict(sorted(here.items())),
        fault=model_fault(model.config),
    )


def _best(fits: Mapping[int, Fit], machine: Hardware) -> Fit | None:
    """Return the Fit that the planner chooses, else the nearest to fitting; None for no fits."""
    fitting = order_fitting(tuple(fits.values()), machine)
    return next(iter(fitting), None) or min(
        fits.values(), key=lambda fit: (fit.distance, sort_key(fit)), default=None
    )


def _compare(
    model: FoundModel,
    facts: ModelFacts,
    machine: Hardware,
    options: argparse.Namespace,
    max_model_len: int | None,
) -> dict[int, Fit]:
    """Return {tensor-parallel size: Fit} of the model on the machine."""
    stages = options.pipeline_parallel_size
    manifest = manifest_for_model(
        model.name,
        facts,
        weights_bytes=model.loaded_bytes,
        tensor_parallel_size=options.tensor_parallel_size,
        pipeline_parallel_size=stages,
    )
    wishes = _wishes(max_model_len=max_model_len, kv_cache_dtype=options.kv_cache_dtype)
    asked = Asked(profile=None, variants=())
    found = compare_all(manifest, machine, wishes, asked, {}, {model.name: facts})
    return {
        fit.parallel.tensor: fit
        for fit in found
        if not fit.profile.on_cpu and not fit.profile.lora and fit.parallel.pipeline == stages
    }


def _wishes(**said: object) -> Wishes:
    """Return Wishes with these engine options, as if from the command line; empty ones are left out."""
    origin = Origin(layer=Layer.CLI, place="the command line")
    return Wishes(options={name: Value(value=value, origin=origin) for name, value in said.items() if value})
