"""Every shipped manifest loads, with correct ids and existing options."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from nim.engine import check_values, load_options
from nim.hardware.gpu_products import PRODUCTS
from nim.manifest import Manifest, Profile, load_manifest, manifest_paths, manifest_to_json, read_manifest
from nim.manifest.find_problems import manifest_problems
from nim.manifest.json_schema import schema_text
from nim.manifest.types import GB
from nim.selection.effective_options import options_of
from nim.selection.memory import GPU_WORKSPACE_BYTES, estimate
from nim.selection.memory.estimate import CPU_WORKSPACE_BYTES
from nim.selection.memory.estimate_inputs import Start
from nim.selection.parallel_sizes import parallel_of
from nim.value_origins import Layer, Origin, Value
from tests.oracle import record

PROFILES = Path(__file__).parents[3] / "profiles"
PATHS = manifest_paths(PROFILES)


@pytest.fixture(params=PATHS, ids=[path.stem for path in PATHS])
def manifest(request: pytest.FixtureRequest) -> Manifest:
    path: Path = request.param
    return load_manifest(path)


def start_of(profile: Profile, manifest: Manifest, **told: Any) -> Start:
    """A start with what the profile says, and what is told."""
    origin = Origin(layer=Layer.CLI, place="the command line")
    options = options_of(profile, {name: Value(value=value, origin=origin) for name, value in told.items()})
    parallel = parallel_of(profile, options, own_sizes=True)
    return Start(profile=profile, options=options, parallel=parallel, model=manifest.model)


def test_nothing_is_wrong(manifest: Manifest) -> None:
    assert manifest_problems(manifest) == ()


def test_file_is_named_after_its_model(manifest: Manifest) -> None:
    assert manifest.name is not None
    assert manifest.path is not None
    assert Path(manifest.path).stem == manifest.name.rpartition("/")[2]
    assert manifest.name == manifest.name.lower()


def test_every_profile_states_its_sizes(manifest: Manifest) -> None:
    for profile in manifest.profiles:
        assert profile.download_gb is not None, profile.label
        assert profile.memory_gb is not None, profile.label
        least = estimate(start_of(profile, manifest)).least_bytes
        assert least == pytest.approx(profile.memory_gb * 1e9, abs=0.1e9), profile.label


def test_every_option_is_one_of_the_engine(manifest: Manifest) -> None:
    """The names, and that the engine takes the values."""
    table = load_options()
    engines = {profile.label: profile.engine for profile in manifest.profiles}
    engines |= {name: variant.engine for name, variant in manifest.variants.items()}
    for name, engine in engines.items():
        values = {option.replace("-", "_"): value for option, value in engine.args.items()}
        assert check_values(values, table, place=name).values.keys() == values.keys()


def test_parsers_are_named_by_the_profile(manifest: Manifest) -> None:
    for profile in manifest.profiles:
        assert profile.engine.args["enable-auto-tool-choice"] is True
        assert profile.engine.args["tool-call-parser"]


def test_named_gpu_is_the_one_with_that_device_id(manifest: Manifest) -> None:
    names = {product.pci_id: product.name for product in PRODUCTS}
    for profile in manifest.profiles:
        if "gpu_device" in profile.tags:
            gpu = profile.tags["gpu"].replace("-", " ")
            assert f" {gpu} " in f" {names[profile.tags['gpu_device']]} ".replace("-", " ")


def test_other_readers_see_the_same(manifest: Manifest) -> None:
    """Plain YAML, as the operator reads it: ids, string tags, and the schema that we publish."""
    assert manifest.path is not None
    plain = yaml.safe_load(Path(manifest.path).read_text())
    jsonschema.validate(plain, json.loads(schema_text()))
    assert plain["schema_version"] == "2.0.0"
    assert [entry["id"] for entry in plain["profiles"]] == [profile.id for profile in manifest.profiles]
    assert [entry["tags"] for entry in plain["profiles"]] == [profile.tags for profile in manifest.profiles]
    assert all(isinstance(value, str) for entry in plain["profiles"] for value in entry["tags"].values())


def test_published_json_is_the_manifest_again(manifest: Manifest) -> None:
    published = json.dumps(manifest_to_json(manifest))
    jsonschema.validate(json.loads(published), json.loads(schema_text()))
    again = read_manifest(published)
    assert again.profiles == manifest.profiles
    assert again.model == manifest.model
    assert again.variants == manifest.variants
    assert manifest_problems(again) == ()


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict[str, Any]]:
    """Return what the engine itself makes of published models, by name; see `tests/oracle`."""
    return {name: verdict for name, verdict in record.read().items() if "error" not in verdict}


def judged(manifest: Manifest, verdicts: dict[str, dict[str, Any]]) -> list[tuple[Profile, dict[str, Any]]]:
    """Return the profiles whose weights the engine has judged, each with the verdict."""
    sources = [(profile, (profile.source or "").removeprefix("hf://")) for profile in manifest.profiles]
    found = [(profile, verdicts[source]) for profile, source in sources if source in verdicts]
    return found or pytest.skip("the engine has judged none of its checkpoints")


def same_precision(profile: Profile, verdict: dict[str, Any]) -> bool:
    """Return whether the engine judged quantized weights as such, which some configurations do not state."""
    return (profile.precision in ("bf16", "fp16")) == (verdict["quantization"] is None)


def test_sizes_are_those_that_the_engine_loads(
    manifest: Manifest, verdicts: dict[str, dict[str, Any]]
) -> None:
    for profile, verdict in judged(manifest, verdicts):
        place = verdict["tensor_parallel"].get(str(profile.tensor_parallel_size))
        if place is None or profile.pipeline_parallel_size > 1 or not same_precision(profile, verdict):
            continue
        assert profile.memory_gb is not None
        weights = profile.memory_gb * GB - (CPU_WORKSPACE_BYTES if profile.on_cpu else GPU_WORKSPACE_BYTES)
        assert weights == pytest.approx(place.get("parameter_bytes"), rel=0.02, abs=0.05 * GB), profile.label


def test_contexts_and_caches_are_those_that_the_engine_derives(
    manifest: Manifest, verdicts: dict[str, dict[str, Any]]
) -> None:
    for profile, verdict in judged(manifest, verdicts):
        assert manifest.model is not None
        assert manifest.model.max_model_len == verdict["context"]
        place = verdict["tensor_parallel"].get(str(profile.tensor_parallel_size), {})
        if "cache_bytes" not in place or not set(verdict["layers"]) <= {"full", "mla"}:
            continue
        told = str(profile.engine.args.get("kv-cache-dtype", "auto"))
        assert str(verdict["kv_cache_dtype"]).startswith(told), profile.label
        start = start_of(profile, manifest, kv_cache_dtype=verdict["kv_cache_dtype"])
        assert estimate(start).context_bytes == pytest.approx(place["cache_bytes"], rel=0.01), profile.label


def test_schema_is_fresh() -> None:
    assert (PROFILES / "manifest.schema.json").read_text() == schema_text()


def test_example_of_the_readme_is_a_manifest() -> None:
    text = (PROFILES / "README.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    manifest = read_manifest(text)
    assert [profile.label for profile in manifest.profiles] == [
        "vllm-bf16-tp1-pp1",
        "vllm-nvidia-h200-fp8-tp2-pp1",
    ]


def ultra() -> Manifest:
    return load_manifest(PROFILES / "nemotron-3-ultra-550b-a55b.yaml")


def test_ultra_has_its_whole_support_matrix() -> None:
    rows = {
        (p.gpu, p.precision, p.tensor_parallel_size, p.pipeline_parallel_size, p.lora)
        for p in ultra().profiles
    }
    base = {
        ("H100", "bf16"): {(8, 2)}, ("H100", "nvfp4"): {(8, 1)},
        ("H200", "bf16"): {(8, 1)}, ("H200", "nvfp4"): {(4, 1), (8, 1)},
        ("B200", "bf16"): {(8, 1)}, ("B200", "nvfp4"): {(2, 1), (4, 1), (8, 1)},
        ("B300", "bf16"): {(4, 1), (8, 1)}, ("B300", "nvfp4"): {(2, 1), (4, 1), (8, 1)},
        ("GB200", "bf16"): {(4, 2)}, ("GB200", "nvfp4"): {(2, 1), (4, 1)},
        ("GB300", "bf16"): {(4, 1)}, ("GB300", "nvfp4"): {(2, 1), (4, 1)},
    }  # fmt: skip
    expected = {
        (gpu, precision, tp, pp, False) for (gpu, precision), sizes in base.items() for tp, pp in sizes
    }
    lora = {("H100", "bf16", 8, 2, True), ("B200", "bf16", 8, 1, True), ("B300", "bf16", 8, 1, True)}
    assert rows == expected | lora


def test_ultra_carries_what_nvfp4_needs() -> None:
    for profile in ultra().profiles:
        four_bits = profile.precision == "nvfp4"
        assert profile.engine.env == (
            {"VLLM_USE_FLASHINFER_MOE_FP8": "1", "VLLM_USE_FLASHINFER_MOE_FP4": "1"} if four_bits else {}
        )
        assert profile.engine.args.get("kv-cache-dtype") == ("nvfp4" if four_bits else None)
        assert profile.engine.args.get("mamba-ssm-cache-dtype") == ("float16" if four_bits else None)
        assert profile.engine.args.get("enable-mamba-cache-stochastic-rounding") is (
            True if four_bits else None
        )
        assert profile.engine.args.get("mamba-cache-philox-rounds") == (5 if four_bits else None)
        # the experts' kernels that the two variables chose; Hopper has none of them
        moe = "auto" if profile.gpu in ("H100", "H200") else "flashinfer_trtllm"
        assert profile.engine.args.get("moe-backend") == (moe if four_bits else None)
        tight = four_bits and profile.gpu in ("B200", "GB200") and profile.tensor_parallel_size == 2
        assert profile.engine.args.get("max-num-seqs") == (64 if tight else None)
        assert profile.engine.args["max-model-len"] == 262144
        assert profile.engine.args["reasoning-parser"] == "nemotron_v3"
        assert profile.engine.args["tool-call-parser"] == "qwen3_coder"


def test_ultra_has_its_named_variants() -> None:
    variants = ultra().variants
    assert variants["mtp"].engine.args["speculative-config"] == {"method": "mtp", "num_speculative_tokens": 2}
    assert variants["throughput-chat"].engine.args["max-num-seqs"] == 72
    assert variants["throughput-software"].engine.args["max-num-seqs"] == 40
    assert variants["throughput-chat"].engine.env == {"VLLM_SSM_CONV_STATE_LAYOUT": "DS"}
    assert variants["1m"].engine.args == {"max-model-len": 1048576}
    assert variants["1m"].engine.env == {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}
