import pytest

from nim.engine.compute_capability_requirements import (
    BUILD_MINIMUM,
    SUPPORT,
    Capability,
    judge_backend,
    judge_cache,
    judge_precision,
)
from nim.engine.supported_names_catalog import load_catalog

CATALOG = load_catalog()
TURING, AMPERE, ADA, HOPPER, BLACKWELL = (7, 5), (8, 0), (8, 9), (9, 0), (10, 0)


def test_each_row_says_where_its_figures_come_from() -> None:
    for precision, support in SUPPORT.items():
        assert support.source.startswith("vllm/"), precision
        assert BUILD_MINIMUM <= support.minimum <= support.native
        assert bool(support.otherwise) == (support.minimum < support.native), precision


@pytest.mark.parametrize("precision", SUPPORT)
def test_what_is_unknown_speaks_against_nothing(precision: str) -> None:
    assert judge_precision(precision, None, CATALOG).runs
    assert judge_precision(None, TURING, CATALOG).runs
    assert judge_precision("fp6", TURING, CATALOG).runs
    assert judge_precision(precision, HOPPER, CATALOG, method="of my own").runs


@pytest.mark.parametrize(
    ("precision", "has", "note"),
    [
        ("fp8", TURING, "Marlin"),
        ("fp8", AMPERE, "Marlin"),
        ("fp8", ADA, None),
        ("nvfp4", HOPPER, "Marlin"),
        ("nvfp4", BLACKWELL, None),
        ("mxfp8", AMPERE, "Marlin"),
        ("mxfp4", HOPPER, "16 bits"),
        ("bf16", TURING, "float16"),
        ("bf16", AMPERE, None),
        ("int8", HOPPER, None),
        ("int8", BLACKWELL, "CUTLASS"),
        ("int4", TURING, None),
    ],
)
def test_some_gpus_serve_it_otherwise(precision: str, has: Capability, note: str | None) -> None:
    verdict = judge_precision(precision, has, CATALOG)
    assert verdict.runs
    assert (verdict.note is None) if note is None else note in (verdict.note or "")


@pytest.mark.parametrize(
    ("precision", "has", "method", "needed"),
    [
        ("fp16", (7, 0), None, "compute capability 7.5 for fp16"),
        ("mxfp8", TURING, None, "compute capability 8.0 for mxfp8"),
        ("mxfp4", TURING, "gpt_oss_mxfp4", "compute capability 8.0 for mxfp4 by gpt_oss_mxfp4"),
        ("fp8", TURING, "modelopt", "compute capability 8.0 for fp8 by modelopt"),
    ],
)
def test_what_the_engine_refuses(precision: str, has: Capability, method: str | None, needed: str) -> None:
    verdict = judge_precision(precision, has, CATALOG, method=method)
    assert not verdict.runs
    assert verdict.needed == needed


def test_a_requested_dtype_takes_effect() -> None:
    asked = judge_precision("bf16", TURING, CATALOG, dtype="bfloat16")
    assert (asked.runs, asked.hint) == (False, "--dtype auto")
    assert judge_precision("bf16", TURING, CATALOG, dtype="half").note is None
    assert "float32" in (judge_precision("bf16", TURING, CATALOG, model_type="gemma3_text").note or "")
    assert not judge_precision("int4", TURING, CATALOG, dtype="bfloat16").runs


@pytest.mark.parametrize(
    ("cache_dtype", "has", "kind", "runs"),
    [
        ("fp8", TURING, "attention", False),
        ("fp8", AMPERE, "attention", True),
        ("fp8", (8, 7), "attention", True),
        ("fp8", AMPERE, "mla", False),
        ("fp8", HOPPER, "mla", True),
        ("fp8_ds_mla", HOPPER, "sparse mla", True),
        ("fp8_ds_mla", HOPPER, "attention", False),
        ("nvfp4", HOPPER, "attention", True),
        ("nvfp4", TURING, "attention", False),
        ("bfloat16", TURING, "attention", False),
        ("auto", (7, 0), "attention", False),
        ("fp8", (11, 0), "attention", None),
        ("fp8", (13, 0), "attention", None),
        ("fp8", None, "attention", None),
        ("fp9", HOPPER, "attention", None),
    ],
)
def test_types_of_the_cache(cache_dtype: str, has: Capability | None, kind: str, runs: bool | None) -> None:
    found = judge_cache(cache_dtype, has, CATALOG, kind)
    assert found.runs is runs
    assert (found.backend is not None) == bool(runs)


def test_the_least_gpu_for_a_type_of_the_cache_is_named() -> None:
    assert judge_cache("fp8", TURING, CATALOG, "attention").minimum == (8, 0)
    assert judge_cache("fp8", AMPERE, CATALOG, "mla").minimum == (8, 9)
    assert judge_cache("fp8_inc", HOPPER, CATALOG, "attention").minimum is None


@pytest.mark.parametrize(
    ("name", "has", "runs"),
    [
        ("FLASH_ATTN", TURING, False),
        ("FLASH_ATTN", AMPERE, True),
        ("FLASH_ATTN", (8, 7), True),
        ("FLASH_ATTN", (6, 1), False),
        ("TRITON_ATTN", TURING, True),
        ("FLASHMLA", AMPERE, False),
        ("FLASHMLA", HOPPER, True),
        ("FLASH_ATTN", None, None),
        ("FLASH_ATTN", (13, 0), None),
        ("CUSTOM", HOPPER, None),
        ("OF_MY_OWN", HOPPER, None),
    ],
)
def test_attention_backends(name: str, has: Capability | None, runs: bool | None) -> None:
    assert judge_backend(name, has, CATALOG).runs is runs
