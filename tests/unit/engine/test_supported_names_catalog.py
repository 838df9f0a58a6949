import json
from collections.abc import Sequence
from typing import Any

import pytest

from nim.engine.inspection.catalog import catalog_text, remembering
from nim.engine.option_table import OPTIONS_DIR, load_options, table_versions
from nim.engine.supported_names_catalog import (
    CATALOG_HISTORY,
    NAMED,
    NAMES,
    SECTIONS,
    Catalog,
    Elsewhere,
    Feature,
    Way,
    load_catalog,
)
from nim.errors import SettingsError

CATALOG = load_catalog()


def test_there_is_a_catalog_beside_each_option_table() -> None:
    for version in table_versions():
        assert load_catalog(version).version == version
    assert load_catalog(f"{table_versions()[-1]}+cpu").version == table_versions()[-1]
    with pytest.raises(SettingsError, match=r'"9\.9"'):
        load_catalog("9.9")


@pytest.mark.parametrize("name", [f"catalog-{CATALOG.version}.json", CATALOG_HISTORY])
def test_the_text_has_one_name_per_line(name: str) -> None:
    text = (OPTIONS_DIR / name).read_text(encoding="utf-8")
    assert catalog_text(json.loads(text)) == text
    for line in text.splitlines():
        assert len(line) < 1000


def test_names_are_sorted_and_of_the_kind_that_is_said() -> None:
    for section in {*SECTIONS, *NAMES} - {"lora_ranks", "without_float16"}:
        names = CATALOG.names(section)
        assert list(names) == sorted(names)
        assert names
    for named in NAMED.values():
        assert named.section in SECTIONS


def test_the_catalog_and_the_option_table_name_the_same_values() -> None:
    table = load_options(CATALOG.version)
    for option, named in NAMED.items():
        assert set(CATALOG.names(named.section)) == set(table.options[option].suggested)
        for other in (named.plugin, named.only_with):
            assert other is None or other in table.options
    assert set(CATALOG.names("kv_cache_dtypes")) == set(table.options["kv_cache_dtype"].choices)
    assert set(CATALOG.names("dtypes")) == set(table.options["dtype"].choices)
    assert CATALOG.names("lora_ranks") == table.options["max_lora_rank"].choices


def test_an_architecture_says_what_it_supports() -> None:
    llama = CATALOG.architecture("LlamaForCausalLM")
    assert llama is not None
    assert {Feature.GENERATE, Feature.LORA, Feature.PIPELINE_PARALLEL} <= llama.features
    assert Feature.MULTIMODAL not in llama.features
    mamba = CATALOG.architecture("MambaForCausalLM")
    assert mamba is not None
    assert Feature.ATTENTION_FREE in mamba.features
    bert = CATALOG.architecture("BertForSequenceClassification")
    assert bert is not None
    assert Feature.GENERATE not in bert.features
    assert bert.score == "cross-encoder"
    assert CATALOG.architecture("Llama") is None


def test_a_platform_s_own_implementation_is_that_of_the_gpu_build() -> None:
    for name in ("DeepseekV4ForCausalLM", "DeepseekV32ForCausalLM", "GlmMoeDsaForCausalLM"):
        found = CATALOG.architecture(name)
        assert found is not None
        assert ".nvidia." in found.implementation


@pytest.mark.parametrize(
    ("architectures", "model_impl", "name", "way"),
    [
        (["LlamaForCausalLM"], "auto", "LlamaForCausalLM", Way.OWN),
        (["NoSuchModel", "LlamaForCausalLM"], "auto", "LlamaForCausalLM", Way.OWN),
        (["LlamaForSequenceClassification"], "auto", "LlamaForCausalLM", Way.CONVERTED),
        (["LlamaForCausalLM"], "transformers", "LlamaForCausalLM", Way.TRANSFORMERS),
        (["BambaForCausalLM"], "auto", "BambaForCausalLM", Way.TRANSFORMERS),
        (["BambaForCausalLM"], "vllm", None, None),
        (["MptForCausalLM"], "auto", None, None),
        (["NoSuchModel"], "auto", None, None),
        (["NoSuchModel"], "terratorch", "Terratorch", Way.OWN),
    ],
)
def test_what_loads_a_model(
    architectures: Sequence[str], model_impl: str, name: str | None, way: Way | None
) -> None:
    found = CATALOG.resolve(architectures, model_impl)
    assert (found and found.name, found and found.way) == (name, way)


def test_a_method_says_what_it_demands() -> None:
    fp8 = CATALOG.quantization("fp8")
    assert fp8 is not None
    assert (fp8.capability, fp8.online, fp8.deprecated) == ((7, 5), False, False)
    old = CATALOG.quantization("fbgemm_fp8")
    assert old is not None
    assert old.deprecated
    assert CATALOG.quantization("bitsandbytes") is None


@pytest.mark.parametrize(
    ("quant_method", "detail", "method"),
    [
        ("gptq", None, "auto_gptq"),
        ("GPTQ", None, "auto_gptq"),
        ("auto-round", None, "inc"),
        ("compressed_tensors", None, "compressed-tensors"),
        ("mxfp4", None, "mxfp4"),
        ("mxfp4", "gpt_oss", "gpt_oss_mxfp4"),
        ("mxfp4", "another", "mxfp4"),
        ("modelopt", "nvfp4", "modelopt_fp4"),
        ("modelopt", None, "modelopt"),
        ("fp8", "deepseek_v4", "deepseek_v4_fp8"),
        ("bitsandbytes", None, None),
    ],
)
def test_which_method_loads_a_checkpoint(quant_method: str, detail: str | None, method: str | None) -> None:
    found = CATALOG.checkpoint(quant_method, detail)
    assert (found.method if found else None) == method


def test_what_may_be_asked_for_a_checkpoint() -> None:
    gptq = CATALOG.checkpoint("gptq")
    assert gptq is not None
    assert gptq.asked["gptq_marlin"] == "auto_gptq"
    assert "awq" not in gptq.asked
    anything = CATALOG.checkpoint("mxfp4", "gpt_oss")
    assert anything is not None
    assert anything.asked["fp8"] == "gpt_oss_mxfp4"
    assert "humming" not in anything.asked


@pytest.mark.parametrize(
    ("section", "name", "elsewhere"),
    [
        ("quantization", "bitsandbytes", Elsewhere(last="0.27.1")),
        ("tool_parsers", "step5", Elsewhere(first="0.33.0")),
        ("architectures", "MPTForCausalLM", Elsewhere(last="0.28.0")),
        ("architectures", "LlamaForCausalLM", None),
        ("quantization", "nothing", None),
    ],
)
def test_where_else_a_name_is_known(section: str, name: str, elsewhere: Elsewhere | None) -> None:
    assert CATALOG.elsewhere(section, name) == elsewhere


def test_the_history_has_no_name_that_the_catalog_has() -> None:
    for section in SECTIONS:
        assert not CATALOG.history[section].keys() & set(CATALOG.names(section)), section


def test_a_newer_catalog_leaves_its_mark_on_the_history() -> None:
    older: dict[str, Any] = {section: {"both": {}, "old": {}} for section in SECTIONS} | {"version": "1.0"}
    newer: dict[str, Any] = {section: {"both": {}, "new": {}} for section in SECTIONS} | {"version": "2.0"}
    history = {section: {"new": {"first": "2.0"}, "older": {"last": "0.5"}} for section in SECTIONS}
    for section, rows in remembering(history, older, newer).items():
        assert rows == {"old": {"last": "1.0"}, "older": {"last": "0.5"}}, section


def test_it_is_read_once() -> None:
    assert load_catalog() is CATALOG
    assert isinstance(CATALOG, Catalog)
