"""A profile requested by name is refused only if the engine is certain to refuse it."""

from typing import Any

import pytest

from nim.errors import ProfileError
from nim.hardware.types import GB
from nim.selection.explain_rejected_profiles import NoProfileFits
from nim.selection.select import Selection, select
from tests.unit.selection.machines import NOTHING, busy, machine, made, sliced, wishing

LABEL = "vllm-bf16-tp1-pp1"


def named(tags: str, gpus: str, label: str = LABEL, **options: Any) -> Selection:
    return select(made(tags), machine(gpus), wishing(label, **options))


@pytest.mark.parametrize(
    ("tags", "gpus", "label", "words"),
    [
        ("precision: bf16", "1xL4", LABEL, "by estimate the profile needs"),
        ("precision: bf16", "1xT4", LABEL, "by estimate the profile needs"),
        (
            "precision: bf16, gpu: H200",
            "1xH100",
            "vllm-h200-bf16-tp1-pp1",
            "the profile needs a GPU H200, and NVIDIA H100",
        ),
        ("precision: nvfp4", "1xH100", "vllm-nvfp4-tp1-pp1", "the weights stay in NVFP4"),
    ],
)
def test_what_only_arithmetic_or_taste_speaks_against_starts_with_a_word(
    tags: str, gpus: str, label: str, words: str
) -> None:
    selection = named(tags, gpus, label)
    assert selection.chosen.because == "NIM_MODEL_PROFILE asks for it"
    assert any(words in warning for warning in selection.warnings)


@pytest.mark.parametrize(
    ("tags", "gpus", "label", "words"),
    [
        ('precision: bf16, tp: "2"', "1xH200", "vllm-bf16-tp2-pp1", "needs 2 GPUs; found 1 GPU"),
        ("precision: mxfp8", "1xT4", "vllm-mxfp8-tp1-pp1", "compute capability 8.0 for mxfp8"),
        ("precision: bf16, gpu: cpu", "1xH100", "vllm-cpu-bf16-tp1-pp1", "the engine's CPU build"),
    ],
)
def test_what_the_engine_refuses_is_refused(tags: str, gpus: str, label: str, words: str) -> None:
    with pytest.raises(ProfileError, match=words):
        named(tags, gpus, label)


def test_no_gpu_for_a_profile_that_needs_one() -> None:
    with pytest.raises(ProfileError, match="needs 1 GPU; found no GPUs"):
        select(made("precision: bf16"), NOTHING, wishing(LABEL))


def test_busy_gpu_is_used_when_requested() -> None:
    selection = select(made("precision: bf16"), busy(machine("1xH100"), 0, 80 * GB), wishing(LABEL))
    assert [gpu.index for gpu in selection.devices] == [0]
    assert "end what else uses the GPU" in selection.warnings[0]


def test_mig_slice_too_small_by_estimate() -> None:
    selection = select(made("precision: bf16"), sliced(machine("1xH100"), "1g.10gb", 10 * GB), wishing(LABEL))
    assert "by estimate" in selection.warnings[0]


def test_length_and_name_together_take_effect() -> None:
    selection = named("precision: bf16", "1xL4", max_model_len=100_000)
    assert selection.estimate.max_model_len == 100_000
    assert "for a context of 100000 tokens" in selection.warnings[0]


def test_others_are_still_narrowed_by_nothing() -> None:
    """The refusal names a profile that would run, with the options as they were written."""
    manifest = made('precision: bf16, tp: "4"', "precision: bf16")
    with pytest.raises(NoProfileFits) as caught:
        select(manifest, machine("1xH200"), wishing("vllm-bf16-tp4-pp1", enable_lora=True))
    assert caught.value.hint == f"NIM_MODEL_PROFILE={LABEL}, which fits"
