"""Properties that hold for every machine and manifest."""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nim.hardware.types import GB, Gpu, Hardware, Mig
from nim.manifest import Manifest, Profile
from nim.manifest.types import KvCache, Model, Parameters
from nim.plan import Refusal
from nim.selection.explain_rejected_profiles import NoProfileFits
from nim.selection.find_named_profile import Asked
from nim.selection.fit_types import Wishes
from nim.selection.select import Selection, compare_all, select
from tests.unit.selection.machines import machine, wishing
from tests.unit.selection.models import LLAMA_8B, brought

KINDS = (
    ("NVIDIA H100 80GB HBM3", "2330:10de", (9, 0)),
    ("NVIDIA L40S", "26b9:10de", (8, 9)),
    ("NVIDIA B200", "2901:10de", (10, 0)),
    (None, None, None),
)
NAMED: tuple[dict[str, str], ...] = (
    {},
    {"gpu": "H100"},
    {"gpu": "B200", "gpu_device": "2901:10de"},
    {"gpu": "cpu"},
)
GOALS: tuple[dict[str, str], ...] = ({}, {"profile": "latency"}, {"profile": "throughput"})
SIZES = st.none() | st.integers(4, 200).map(lambda size: size * GB)


@st.composite
def gpus(draw: st.DrawFn) -> Gpu:
    name, pci_id, capability = draw(st.sampled_from(KINDS))
    total = draw(SIZES)
    free = None if total is None else draw(st.none() | st.integers(0, total))
    return Gpu(
        index=draw(st.integers(0, 15)),
        name=name,
        pci_id=pci_id,
        compute_capability=capability,
        memory_total_bytes=total,
        memory_free_bytes=free,
        mig=draw(st.sampled_from((None, None, None, Mig(profile="1g.10gb")))),
    )


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    tags = {
        "llm_engine": "vllm",
        "precision": draw(st.sampled_from(("nvfp4", "fp8", "bf16", "unheard"))),
        "tp": draw(st.sampled_from("1248")),
        "pp": draw(st.sampled_from("12")),
        "feat_lora": draw(st.sampled_from(("true", "false"))),
    }
    tags |= draw(
        st.sampled_from(({}, {"gpu": "H100"}, {"gpu": "B200", "gpu_device": "2901:10de"}, {"gpu": "cpu"}))
    )
    tags |= draw(st.sampled_from(({}, {"profile": "latency"}, {"profile": "throughput"})))
    weights = draw(st.none() | st.floats(0.1, 500))
    return Profile(id=f"{draw(st.integers(0, 2**64)):064x}", tags=tags, weights_gb=weights)


machines = st.lists(gpus(), max_size=9).map(lambda found: Hardware(gpus=tuple(found), source="made up"))
models = st.sampled_from(
    (
        None,
        Model(
            name="acme/rocket",
            source="hf://acme/rocket",
            parameters=Parameters(total_billions=8),
            max_model_len=131072,
            kv_cache=KvCache(layers=32, heads=8, head_dim=128),
        ),
    )
)
manifests = st.builds(
    lambda found, model: Manifest(profiles=tuple(found), model=model),
    st.lists(profiles(), min_size=1, max_size=8, unique_by=lambda profile: profile.id),
    models,
)


def wishes_of(options: dict[str, Any]) -> st.SearchStrategy[Wishes]:
    return st.builds(
        lambda emulation, build: wishing(emulation=emulation, engine_build=build, **options),
        st.booleans(),
        st.sampled_from(("cpu", "gpu")),
    )


wishes = st.fixed_dictionaries(
    {"nnodes": st.integers(1, 2)},
    optional={
        "enable_lora": st.booleans(),
        "max_model_len": st.sampled_from((-1, 1, 2**20)) | st.integers(1, 2**20),
        "gpu_memory_utilization": st.sampled_from((0.3, 0.92, 1.0)),
        "data_parallel_size": st.sampled_from((1, 2, 4)),
        "tensor_parallel_size": st.sampled_from((1, 2, 4)),
        "prefill_context_parallel_size": st.sampled_from((1, 2)),
        "cpu_offload_gb": st.sampled_from((0, 10)),
        "kv_cache_memory_bytes": st.sampled_from((GB, 20 * GB)),
        "dtype": st.sampled_from(("auto", "half", "bfloat16", "float32")),
        "quantization": st.sampled_from(("fp8", "mxfp8")),
    },
).flatmap(wishes_of)
AUTOMATIC = Asked(profile=None, variants=())


configurations = st.fixed_dictionaries(
    {
        "num_attention_heads": st.sampled_from((8, 12, 24, 25, 28, 32, 40, 64, 71)),
        "num_key_value_heads": st.sampled_from((1, 2, 3, 4, 8, 10, 12, 32)),
        "intermediate_size": st.sampled_from((1024, 4864, 11008, 14336, 17920, 18944)),
        "vocab_size": st.sampled_from((32064, 50257, 100352, 128256, 152064)),
        "num_hidden_layers": st.integers(1, 4),
        "head_dim": st.sampled_from((64, 128)),
        "hidden_size": st.sampled_from((512, 2048, 5120)),
    },
    optional={"torch_dtype": st.sampled_from(("float32", "float16"))},
).map(lambda values: {**LLAMA_8B, **values})
whole_machines = st.integers(1, 16).map(lambda count: machine(f"{count}xL40S"))
DIVIDED = ("num_attention_heads", "intermediate_size")


def outcome_of(config: dict[str, Any], hardware: Hardware, wanted: Wishes) -> Selection | NoProfileFits:
    try:
        return brought(config, hardware, wanted)
    except NoProfileFits as error:
        return error


@settings(max_examples=40)
@given(configurations, whole_machines)
def test_size_that_is_chosen_divides(config: dict[str, Any], hardware: Hardware) -> None:
    found = brought(config, hardware, wishing(max_model_len=128))
    size, kv = found.winner.parallel.tensor, config["num_key_value_heads"]
    offered = {fit.profile.tensor_parallel_size for fit in found.fits}
    assert size in offered
    for width in offered:
        assert not any(config[name] % width for name in DIVIDED)
        assert -(-config["vocab_size"] // 64) * 64 % width == 0
        assert kv % width == 0 or width % kv == 0


@settings(max_examples=40)
@given(configurations, whole_machines, st.integers(1, 8), st.sampled_from((1, 2, 4)))
def test_another_gpu_or_more_memory_never_turns_yes_into_no(
    config: dict[str, Any], hardware: Hardware, more: int, replicas: int
) -> None:
    wanted = wishing(data_parallel_size=replicas, max_model_len=131072)
    count = len(hardware.gpus)
    if isinstance(outcome_of(config, hardware, wanted), Selection):
        assert isinstance(outcome_of(config, machine(f"{count + more}xL40S"), wanted), Selection)
        assert isinstance(outcome_of(config, machine(f"{count}xH200"), wanted), Selection)


@settings(max_examples=40)
@given(configurations, st.integers(1, 16), st.integers(1, 4))
def test_requested_size_runs_or_is_refused_with_a_working_one(
    config: dict[str, Any], size: int, stages: int
) -> None:
    hardware = machine("16xH100")
    wanted = wishing(tensor_parallel_size=size, pipeline_parallel_size=stages, max_model_len=128)
    found = outcome_of(config, hardware, wanted)
    if isinstance(found, Selection):
        assert len(found.devices) == size * stages
    elif size * stages <= 16:
        assert "cannot be split over" in found.message or "pipeline stages" in found.message
        first = (found.hint or "").split(", or ")[0].split(" with ")
        told: dict[str, Any] = {
            name.removeprefix("NIM_").lower(): int(value) for name, value in (one.split("=") for one in first)
        }
        again = {"tensor_parallel_size": size, "pipeline_parallel_size": stages} | told
        assert brought(config, hardware, wishing(max_model_len=128, **again)).devices


def fitting(manifest: Manifest, hardware: Hardware, wanted: Wishes) -> set[str]:
    return {fit.profile.id for fit in compare_all(manifest, hardware, wanted, AUTOMATIC, {}) if fit.fits}


@given(manifests, machines, gpus(), st.integers(0, 9), wishes)
def test_another_gpu_never_loses_a_profile(
    manifest: Manifest, hardware: Hardware, gpu: Gpu, place: int, wanted: Wishes
) -> None:
    more = replace(hardware, gpus=(*hardware.gpus[:place], gpu, *hardware.gpus[place:]))
    assert fitting(manifest, hardware, wanted) <= fitting(manifest, more, wanted)


@given(manifests, machines, st.integers(0, 8), st.integers(0, 200), wishes)
def test_more_memory_never_loses_a_profile(
    manifest: Manifest, hardware: Hardware, which: int, gigabytes: int, wanted: Wishes
) -> None:
    def grown(gpu: Gpu) -> Gpu:
        total, free = gpu.memory_total_bytes, gpu.memory_free_bytes
        return replace(
            gpu,
            memory_total_bytes=None if total is None else total + gigabytes * GB,
            memory_free_bytes=None if free is None else free + gigabytes * GB,
        )

    found = tuple(grown(gpu) if place == which else gpu for place, gpu in enumerate(hardware.gpus))
    assert fitting(manifest, hardware, wanted) <= fitting(manifest, replace(hardware, gpus=found), wanted)


@given(manifests, machines, wishes, st.randoms(use_true_random=False))
def test_order_of_profiles_does_not_matter(
    manifest: Manifest, hardware: Hardware, wanted: Wishes, order: Random
) -> None:
    shuffled = list(manifest.profiles)
    order.shuffle(shuffled)
    assert outcome(manifest, hardware, wanted) == outcome(
        replace(manifest, profiles=tuple(shuffled)), hardware, wanted
    )


@given(manifests, machines, wishes)
def test_one_profile_that_fits_or_a_table_of_all(
    manifest: Manifest, hardware: Hardware, wanted: Wishes
) -> None:
    fits = fitting(manifest, hardware, wanted)
    found = outcome(manifest, hardware, wanted)
    if not isinstance(found, Selection):
        assert fits == set()
        assert {refused.profile for refused in found} == {profile.id for profile in manifest.profiles}
        assert all(refused.needed and refused.found for refused in found)
        return
    assert found.chosen.id in fits
    assert len(found.refused) == len(manifest.profiles) - 1
    assert len(found.devices) == (0 if found.profile.on_cpu else found.winner.parallel.local_ranks)
    kinds = {(gpu.pci_id or gpu.name, gpu.mig) for gpu in found.devices}
    assert len(kinds) <= 1 or (found.winner.group.mixed and all(gpu.mig is None for gpu in found.devices))
    assert found.utilization is None or 0 < found.utilization <= 0.98


def outcome(manifest: Manifest, hardware: Hardware, wanted: Wishes) -> Selection | tuple[Refusal, ...]:
    try:
        return select(manifest, hardware, wanted)
    except NoProfileFits as error:
        return error.refused
