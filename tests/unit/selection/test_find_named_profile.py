"""Profiles found by name."""

import pytest

from nim.errors import NimError, ProfileError, SettingsError
from nim.manifest.types import Engine, Manifest, Variant
from nim.selection.find_named_profile import Asked, plain_label, with_speculation
from nim.selection.fit_types import Wishes
from nim.selection.select import select
from tests.unit.selection.machines import machine, made, shipped, wishing

ULTRA = shipped("nvidia/nemotron-3-ultra-550b-a55b")
H200 = machine("8xH200")
TP4 = next(profile for profile in ULTRA.profiles if profile.label == "vllm-nvidia-h200-nvfp4-tp4-pp1")


def chosen(name: str | None, tags: tuple[str, ...] = ()) -> str:
    return select(ULTRA, H200, wishing(profile=name, tags=tags)).chosen.label


@pytest.mark.parametrize(
    "name",
    [
        TP4.id,
        TP4.id.upper(),
        TP4.id[:10],
        "vllm-nvidia-h200-nvfp4-tp4-pp1",
        "vllm-nvidia-h200-nvfp4-tp4-pp1-84.5",
        "vllm-nvidia-h200-nvfp4-tp4-pp1-90",
        "VLLM-H200-NVFP4-TP4-PP1",
        " vllm-h200-nvfp4-tp4-pp1 ",
    ],
)
def test_every_way_to_name_a_profile(name: str) -> None:
    selection = select(ULTRA, H200, wishing(profile=name))
    assert selection.chosen.id == TP4.id
    assert selection.chosen.because == "NIM_MODEL_PROFILE asks for it"


@pytest.mark.parametrize("name", [None, "default", "Default", ""])
def test_automatic_choice(name: str | None) -> None:
    assert chosen(name) == "vllm-nvidia-h200-nvfp4-tp8-pp1"


@pytest.mark.parametrize(
    ("name", "label", "speculative", "length"),
    [
        ("default+mtp", "vllm-nvidia-h200-nvfp4-tp8-pp1+mtp", 2, 262144),
        ("vllm-h200-nvfp4-tp4-pp1+mtp", "vllm-nvidia-h200-nvfp4-tp4-pp1+mtp", 2, 262144),
        (f"{TP4.id[:12]}+1m+mtp", "vllm-nvidia-h200-nvfp4-tp4-pp1+1m+mtp", 2, 1048576),
        ("default+throughput-chat", "vllm-nvidia-h200-nvfp4-tp8-pp1+throughput-chat", 1, 262144),
    ],
)
def test_variants_are_added_by_name(name: str, label: str, speculative: int, length: int) -> None:
    selection = select(ULTRA, H200, wishing(profile=name))
    args = selection.profile.engine.args
    assert selection.chosen.label == label
    assert args["speculative-config"]["num_speculative_tokens"] == speculative
    assert args["max-model-len"] == length
    assert args["kv-cache-dtype"] == "nvfp4"
    assert selection.chosen.tags["variant"] == label.partition("+")[2]
    assert ("VLLM_ALLOW_LONG_MAX_MODEL_LEN" in selection.profile.engine.env) == (length > 262144)


def test_no_variant_without_being_asked_for() -> None:
    assert "speculative-config" not in select(ULTRA, H200, wishing()).profile.engine.args


def test_tag_selects_a_variant() -> None:
    assert chosen(None, ("variant=mtp",)) == "vllm-nvidia-h200-nvfp4-tp8-pp1+mtp"
    assert chosen(None, ("variant=mtp", "tp=4")) == "vllm-nvidia-h200-nvfp4-tp4-pp1+mtp"


@pytest.mark.parametrize(
    ("name", "tags", "error", "words"),
    [
        ("vllm-h200-nvfp4-tp2-pp1", (), ProfileError, "hint: NIM_MODEL_PROFILE=vllm-nvidia-h200-nvfp4-tp"),
        ("zzz", (), ProfileError, "hint: list-model-profiles"),
        ("default+mpt", (), ProfileError, "hint: NIM_MODEL_PROFILE=default+mtp"),
        (None, ("variant=fast",), ProfileError, "the variant 'fast'"),
        (None, ("precison=fp8",), ProfileError, "hint: NIM_TAGS_SELECTOR=precision=fp8"),
        (None, ("fp8",), SettingsError, "it is not tag=value"),
        (None, ("precision=",), SettingsError, "it is not tag=value"),
    ],
)
def test_name_that_names_nothing(
    name: str | None, tags: tuple[str, ...], error: type[NimError], words: str
) -> None:
    with pytest.raises(error) as caught:
        chosen(name, tags)
    assert str(caught.value).startswith("cannot ")
    assert words in str(caught.value)


def test_name_of_several_profiles_is_refused() -> None:
    manifest = made("precision: bf16", "precision: bf16, product_name_regex: H100")
    for name in ("vllm-bf16-tp1-pp1", "0000"):
        with pytest.raises(ProfileError, match="2 profiles are called so") as caught:
            select(manifest, machine("1xH100"), wishing(profile=name))
        assert f"NIM_MODEL_PROFILE={manifest.profiles[0].id}" in str(caught.value)


def test_named_profile_is_not_narrowed_by_other_wishes() -> None:
    wishes = wishing(profile="vllm-h200-nvfp4-tp4-pp1", enable_lora=True, tags=("precision=bf16",))
    assert select(ULTRA, H200, wishes).chosen.id == TP4.id


def test_size_set_by_the_user_overrides_the_named_profiles() -> None:
    """As with every option: the environment is above the profile. Only the engine's own rules refuse."""
    selection = select(ULTRA, H200, wishing(profile="vllm-h200-nvfp4-tp4-pp1", tensor_parallel_size=8))
    assert selection.chosen.id == TP4.id
    assert len(selection.devices) == 8
    assert selection.warnings[0] == "tp8 (NIM_TENSOR_PARALLEL_SIZE) is used, not the profile's tp4"


@pytest.mark.parametrize(
    ("label", "plain"),
    [
        ("vllm-bf16-tp1-pp1-feat_lora-22.5", "vllm-bf16-tp1-pp1-lora"),
        ("vllm-bf16-tp1-pp1-lora", "vllm-bf16-tp1-pp1-lora"),
        ("vllm-nvidia-b200-nvfp4-tp4-pp1-throughput-90.0", "vllm-b200-nvfp4-tp4-pp1-throughput"),
        ("vllm-bf16-tp16-pp2", "vllm-bf16-tp16-pp2"),
    ],
)
def test_labels_are_compared_in_plain_form(label: str, plain: str) -> None:
    assert plain_label(label) == plain


def test_speculation_is_a_variant_that_is_added_once() -> None:
    plain = Engine(args={"max-num-seqs": 4})
    drafts = Engine(args={"speculative-config": {"method": "mtp"}})
    variants = {"big": Variant(summary="x", engine=plain), "mtp": Variant(summary="y", engine=drafts)}
    manifest = Manifest(profiles=(), variants=variants)
    asked, wishes = Asked(profile=None, variants=("big",)), Wishes(speculates=True)
    assert with_speculation(asked, manifest, wishes).variants == ("big", "mtp")
    assert with_speculation(asked, manifest, Wishes()) == asked
    already = Asked(profile=None, variants=("mtp",))
    assert with_speculation(already, manifest, wishes) == already
    assert with_speculation(asked, Manifest(profiles=()), wishes) == asked
