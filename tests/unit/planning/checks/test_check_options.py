"""Options of every layer and a model's files checked against the engine's rules."""

import json
from pathlib import Path
from typing import Any

import pytest

from nim.errors import NimError, SettingsError
from nim.hardware import hardware_from_gpus
from nim.plan import Plan
from nim.planning.plan_request import Request
from nim.planning.planner import decide
from nim.settings import read_settings

DENSE = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100}
BOUNDED = "nim.vllm_plugins.bounded_structured_outputs.BoundedStructuredOutputs"
LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "intermediate_size": 128, **DENSE}
MIXTRAL = {**LLAMA, "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "num_local_experts": 4}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def planned(cache: Path, *arguments: str, **variables: str) -> tuple[str, ...]:
    """Return the warnings of a start of org/name."""
    return plan_of(cache, *arguments, **variables).warnings


def plan_of(cache: Path, *arguments: str, **variables: str) -> Plan:
    environ = {"NIM_MODEL_PATH": "hf://org/name", "NIM_CACHE_PATH": str(cache), **variables}
    request = Request(
        settings=read_settings(environ),
        environ=environ,
        hardware=hardware_from_gpus("2xH100"),
        arguments=arguments,
        other_machine=True,
    )
    return decide(request)[0]


def with_config(cache: Path, config: dict[str, Any]) -> None:
    """Write a model's configuration into the hub's cache."""
    model = cache / "huggingface" / "hub" / "models--org--name"
    (model / "snapshots" / "abc").mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    (model / "snapshots" / "abc" / "config.json").write_text(json.dumps(config))


def test_expert_parallelism_of_a_dense_model_is_refused(cache: Path) -> None:
    with_config(cache, LLAMA)
    with pytest.raises(NimError) as caught:
        planned(cache, "--enable-expert-parallel")
    assert "no experts" in caught.value.message


@pytest.mark.parametrize("config", [MIXTRAL, None], ids=["experts", "not at hand"])
def test_expert_parallelism_is_taken(cache: Path, config: dict[str, Any] | None) -> None:
    if config:
        with_config(cache, config)
    planned(cache, "--enable-expert-parallel", "--tensor-parallel-size=2")


@pytest.mark.parametrize(
    ("variables", "arguments", "hint"),
    [
        ({"NIM_TOOL_CALL_PARSER": "lama3_json"}, (), "NIM_TOOL_CALL_PARSER=llama3_json"),
        ({}, ("--tool-call-parser=lama3_json",), "--tool-call-parser llama3_json"),
        (
            {"NIM_PASSTHROUGH_ARGS": "--tool-call-parser lama3_json"},
            (),
            "--tool-call-parser llama3_json",
        ),
    ],
)
def test_names_that_the_engine_does_not_have(
    cache: Path, variables: dict[str, str], arguments: tuple[str, ...], hint: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        planned(cache, "--enable-auto-tool-choice", *arguments, **variables)
    assert hint in (caught.value.hint or "")
    place = next(iter(variables), "the command line")
    assert f"from {place}" in caught.value.message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--enable-lora", "--lora-modules=a=/nowhere"), "the adapter a '/nowhere' is not on this machine"),
        (("--tokenizer=/nowhere",), "--tokenizer /nowhere (the command line): there is no such directory"),
        (("--spec-model=/nowhere", "--spec-tokens=2"), "the draft model '/nowhere' of --spec-model /nowhere"),
    ],
)
def test_paths_of_another_machine_are_warned_of(cache: Path, arguments: tuple[str, ...], words: str) -> None:
    with_config(cache, LLAMA)
    (warning,) = [one for one in planned(cache, *arguments) if "nowhere" in one]
    assert warning.startswith(words)
    assert warning.endswith("without it the engine does not start")


def test_overrides_count_where_options_are_judged(cache: Path) -> None:
    with_config(cache, LLAMA)
    overrides = (
        '--hf-overrides={"quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic"}}'
    )
    planned(cache, "--kv-cache-dtype=fp8_e5m2")
    with pytest.raises(SettingsError, match="the checkpoint is quantized by fp8"):
        planned(cache, "--kv-cache-dtype=fp8_e5m2", overrides)


def test_what_is_not_strict_is_a_warning(cache: Path) -> None:
    warnings = planned(
        cache, "--enable-auto-tool-choice", NIM_TOOL_CALL_PARSER="lama3_json", NIM_STRICT_ARGS="0"
    )
    assert any("NIM_TOOL_CALL_PARSER=llama3_json" in warning for warning in warnings)


def test_a_key_that_is_empty_is_warned_of(cache: Path) -> None:
    word = "VLLM_API_KEY is empty: requests need no key"
    assert word in planned(cache, VLLM_API_KEY="")
    assert word not in (*planned(cache, VLLM_API_KEY="abc"), *planned(cache))


def test_values_of_the_engine_s_variables(cache: Path) -> None:
    with pytest.raises(SettingsError, match='cannot use VLLM_USE_DEEP_GEMM "true"'):
        planned(cache, VLLM_USE_DEEP_GEMM="true")
    warnings = planned(cache, VLLM_USE_DEEP_GEMM="true", NIM_STRICT_ARGS="0")
    assert any("VLLM_USE_DEEP_GEMM=1; the engine refuses it" in warning for warning in warnings)


def test_a_blank_variable_that_the_engine_would_refuse_is_unset(cache: Path) -> None:
    plan = plan_of(cache, VLLM_USE_DEEP_GEMM="", VLLM_PLUGINS="")
    assert plan.engine.unset == ("VLLM_USE_DEEP_GEMM",)
    assert "VLLM_USE_DEEP_GEMM" not in plan.engine.env
    assert plan.config["VLLM_PLUGINS"].value == ""


@pytest.mark.parametrize("name", ["HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"])
def test_seconds_of_the_hub_s_client(cache: Path, name: str) -> None:
    planned(cache, **{name: "30"})
    for text in ("", "10s", "1.5"):
        with pytest.raises(SettingsError, match=f"cannot use {name} '{text}'"):
            planned(cache, **{name: text})


VISION = {
    **LLAMA,
    "architectures": ["LlavaForConditionalGeneration"],
    "model_type": "llava",
    "text_config": LLAMA,
    "vision_config": {"model_type": "clip_vision_model", "hidden_size": 64, "num_hidden_layers": 1},
    "image_token_index": 32000,
}


def about_media(warnings: tuple[str, ...]) -> list[str]:
    return [warning for warning in warnings if "NIM_ALLOWED_MEDIA_DOMAINS" in warning]


def test_media_are_fetched_from_public_addresses_only(cache: Path) -> None:
    with_config(cache, VISION)
    assert about_media(planned(cache)) == []
    config = plan_of(cache).config
    assert config["VLLM_MEDIA_CONNECTOR"].value == "nim-public"
    assert config["middleware"].value == ["nim.vllm_plugins.public_media.PublicMedia", BOUNDED]
    own = plan_of(cache, "--middleware", "mine.Class").config["middleware"]
    assert own.value == ["nim.vllm_plugins.public_media.PublicMedia", BOUNDED, "mine.Class"]
    (warning,) = [
        each for each in planned(cache, VLLM_MEDIA_CONNECTOR="mine") if "VLLM_MEDIA_CONNECTOR" in each
    ]
    assert "private ones perhaps included" in warning


def test_media_from_any_address_are_warned_of(cache: Path) -> None:
    with_config(cache, VISION)
    (warning,) = about_media(planned(cache, NIM_ALLOW_PRIVATE_MEDIA="1"))
    assert warning.startswith(
        "a request may have the engine fetch image data from any address that it reaches"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--allowed-media-domains", "pictures.example"),
        ("--language-model-only",),
        ("--limit-mm-per-prompt", '{"image": 0}'),
    ],
)
def test_media_that_are_bounded_are_not_warned_of(cache: Path, arguments: tuple[str, ...]) -> None:
    with_config(cache, VISION)
    assert about_media(planned(cache, *arguments, NIM_ALLOW_PRIVATE_MEDIA="1")) == []


def test_text_has_no_media_and_the_setting_names_hosts(cache: Path) -> None:
    with_config(cache, LLAMA)
    assert about_media(planned(cache)) == []
    plan = plan_of(cache, NIM_ALLOWED_MEDIA_DOMAINS="a.example,b.example")
    assert plan.config["middleware"].value == [BOUNDED]
    assert plan.config["allowed_media_domains"].value == ["a.example", "b.example"]
    assert plan.config["VLLM_MEDIA_URL_ALLOW_REDIRECTS"].value == "0"


def test_bounds_of_one_request_have_an_origin_and_give_way(cache: Path) -> None:
    config = plan_of(cache, VLLM_MAX_N_SEQUENCES="500", NIM_MAX_OUTPUT_TOKENS="2000").config
    assert (config["VLLM_MAX_N_SEQUENCES"].value, str(config["VLLM_MAX_N_SEQUENCES"].origin)) == (
        "500",
        "ENV (VLLM_MAX_N_SEQUENCES)",
    )
    assert str(config["VLLM_MAX_COMPLETION_PROMPTS"].origin) == "DEFAULT (nim: bounds of one request)"
    assert config["override_generation_config"].value == {"max_new_tokens": 2000}
    assert str(config["override_generation_config"].origin) == "ENV (NIM_MAX_OUTPUT_TOKENS)"


def test_the_ceiling_of_tokens_is_one_key_among_others(cache: Path) -> None:
    flags = ("--override-generation-config", '{"temperature": 0.5}')
    config = plan_of(cache, *flags, NIM_MAX_OUTPUT_TOKENS="2000").config
    assert config["override_generation_config"].value == {"max_new_tokens": 2000, "temperature": 0.5}
    flags = ("--override-generation-config", '{"max_new_tokens": 9}')
    config = plan_of(cache, *flags, NIM_MAX_OUTPUT_TOKENS="2000").config
    assert config["override_generation_config"].value == {"max_new_tokens": 9}
