import shlex
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nim.engine.arguments.argument_error_messages import OWNED
from nim.engine.arguments.parser import ParsedArguments, check_values, parse_arguments
from nim.engine.arguments.split_line import tokenize
from nim.engine.option_table import OptionTable, load_options
from nim.errors import SettingsError
from tests.unit.engine.strategies import AWKWARD, texts, unhurried

PLACE = "NIM_PASSTHROUGH_ARGS"


def parse(table: OptionTable, line: str, *, strict: bool = True) -> ParsedArguments:
    return parse_arguments(tokenize(line, place=PLACE), table, place=PLACE, strict=strict)


def refusal(table: OptionTable, line: str) -> SettingsError:
    with pytest.raises(SettingsError) as error:
        parse(table, line)
    return error.value


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("--max-model-len 8192", {"max_model_len": 8192}),
        ("--max_model_len=8192", {"max_model_len": 8192}),
        (
            "--max-model-len 8k --max-num-batched-tokens 8K",
            {"max_model_len": 8000, "max_num_batched_tokens": 8192},
        ),
        ("--max-model-len 25.6k", {"max_model_len": 25600}),
        ("--max-model-len auto", {"max_model_len": -1}),
        ("--max-model-len -1", {"max_model_len": -1}),
        (
            "-tp 2 -pp=3 -n2 -r 1",
            {"tensor_parallel_size": 2, "pipeline_parallel_size": 3, "nnodes": 2, "node_rank": 1},
        ),
        ("-O3", {"optimization_level": "3"}),
        ("-O=1", {"optimization_level": "1"}),
        ("-O 2", {"optimization_level": "2"}),
        (
            "--enforce-eager --no-enable-prefix-caching",
            {"enforce_eager": True, "enable_prefix_caching": False},
        ),
        ("--device-memory-utilization 0.5", {"gpu_memory_utilization": 0.5}),
        ("--moe-backend FlashInfer-TRTLLM", {"moe_backend": "flashinfer_trtllm"}),
        ("--device-ids 0, --seed 1", {"device_ids": [0, ""], "seed": 1}),
        ("--quantization None --chat-template ''", {"quantization": None, "chat_template": None}),
        ("--hf-token --seed 1", {"hf_token": True, "seed": 1}),
        ("--hf-token x", {"hf_token": "x"}),
        ("--cudagraph-capture-sizes 1 2 4", {"cudagraph_capture_sizes": [1, 2, 4]}),
        ("--middleware a --middleware b", {"middleware": ["a", "b"]}),
        ("--hf-overrides '{\"a\": 1}'", {"hf_overrides": {"a": 1}}),
        ("--hf-overrides some.module", {"hf_overrides": "some.module"}),
        (
            "--kv_transfer_config.kv_port=1 --kv-transfer-config.kv_role kv_both",
            {"kv_transfer_config": {"kv_port": 1, "kv_role": "kv_both"}},
        ),
        ("--kv-transfer-config.kv_connector X", {"kv_transfer_config": {"kv_connector": "X"}}),
        (
            "-cc.pass_config.fuse_norm_quant true -cc.mode=3 -cc.custom_ops+ none -cc.custom_ops+=+a,-b",
            {
                "compilation_config": {
                    "pass_config": {"fuse_norm_quant": True},
                    "mode": 3,
                    "custom_ops": ["none", "+a", "-b"],
                }
            },
        ),
        (
            "--kv-transfer-config '{\"kv_port\": 8k}'",
            {"kv_transfer_config": {"kv_port": 8000}},
        ),
        ("--kv-transfer-config.kv_port 1K", {"kv_transfer_config": {"kv_port": 1024}}),
    ],
)
def test_values(table: OptionTable, line: str, values: dict[str, Any]) -> None:
    parsed = parse(table, line)
    assert parsed.values == values
    assert parsed.warnings == ()


@pytest.mark.parametrize(
    "value", ["{{ x }}", "%(x)s", "$HOME", "a;b", "#x", "it's", 'a"b', "a\nb", "🚀", "a=b"]
)
def test_awkward_text_is_left_alone(table: OptionTable, value: str) -> None:
    assert parse(table, shlex.join(["--chat-template", value])).values == {"chat_template": value}
    assert parse(table, shlex.join([f"--chat-template={value}"])).values == {"chat_template": value}


def test_one_word_is_the_model(table: OptionTable) -> None:
    assert parse(table, "some/model --seed 1").model_tag == "some/model"
    assert parse(table, "--seed 1 -- some/model").model_tag == "some/model"
    assert parse(table, "--enforce-eager some/model --seed 1").model_tag == "some/model"


@pytest.mark.parametrize(
    ("line", "values", "warning"),
    [
        ("--seed 1 --seed 2", {"seed": 2}, '"--seed" is given more than once'),
        ("--enforce-eager --no-enforce-eager", {"enforce_eager": False}, "the last, false, wins"),
        ("--hf-token planted --hf-token planted", {"hf_token": "planted"}, "the last, ****, wins"),
        (
            '--speculative-config \'{"method": "mtp"}\' --speculative-config.num_speculative_tokens 2',
            {"speculative_config": {"num_speculative_tokens": 2}},
            'the last, {"num_speculative_tokens":2}, wins',
        ),
        (
            "--speculative-config.method mtp --speculative-config.method ngram",
            {"speculative_config": {"method": "ngram"}},
            '"--speculative-config.method" is given more than once',
        ),
        (
            "--speculative-config {method:mtp,num_speculative_tokens:2}",
            {"speculative_config": {"method": "mtp", "num_speculative_tokens": 2}},
            'understood as \'{"method":"mtp","num_speculative_tokens":2}\'',
        ),
        (
            "--speculative-config {method: mtp, num_speculative_tokens: 2} --seed 1",
            {"speculative_config": {"method": "mtp", "num_speculative_tokens": 2}, "seed": 1},
            "understood as",
        ),
        (
            "--speculative-config={method: mtp, num_speculative_tokens: 2} --seed 1",
            {"speculative_config": {"method": "mtp", "num_speculative_tokens": 2}, "seed": 1},
            "understood as",
        ),
        (
            "--compilation-config.pass_config {fuse_norm_quant:true}",
            {"compilation_config": {"pass_config": {"fuse_norm_quant": True}}},
            "understood as",
        ),
        ("--log-config-file x", {"log_config_file": "x"}, "--logging-config.pylogging_config_file"),
        ("--mamba-backend tritn", {"mamba_backend": "tritn"}, 'the nearest is "triton"'),
    ],
)
def test_warnings(table: OptionTable, line: str, values: dict[str, Any], warning: str) -> None:
    parsed = parse(table, line)
    assert parsed.values == values
    (only,) = parsed.warnings
    assert warning in only
    assert PLACE in only
    assert "planted" not in only


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("--max-modle-len 1", "no such option", "--max-model-len"),
        ("-max-model-len 1", "no such option", "--max-model-len"),
        ("--parallel-tensor-size 1", "no such option", "--tensor-parallel-size"),
        ("--frobnicate 1 2", "no such option", "NIM_STRICT_ARGS=0"),
        ("--max-model 1", "written in full", "--max-model-len"),
        ("--speculative-c.method mtp", "written in full", "--speculative-config"),
        ("-t 2", "no such option", ""),
        ("--task generate", "no longer has it (last seen in 0.11.0)", "--runner"),
        ("--guided_decoding_backend x", "no longer has it", "--structured-outputs-config.backend"),
        ("--swap-space 4", "no longer has it", "--kv-offloading-size"),
        ("--preemption-mode swap", "no longer has it", "remove it"),
        ("--seed", "no value follows it", "--seed INTEGER"),
        ("--seed --enforce-eager", "no value follows it", "--seed INTEGER"),
        ("--seed -x", "no value follows it", "--seed=-x"),
        ("--seed -- x", "no value follows it", "--seed INTEGER"),
        ("--api-key -planted-secret", "no value follows it", "--api-key=****"),
        ("--seed --enforce-eagr", "cannot use 2 arguments", ""),
        ("--compilation-config.mode", "no value follows it", "JSON_OBJECT"),
        ("--compilation-config.mode --seed 1", "no value follows it", ""),
        ("--seed 1.8e+06", '"1.8e+06" is not a whole number', "--seed 1800000"),
        ("--seed 3k", '"3k" is not a whole number', "--seed 3000"),
        ("--seed x", '"x" is not a whole number', ""),
        ("--max-model-len 1.5K", "fraction", "--max-model-len 1.5k"),
        ("--watermark nan", '"nan" is not a number', ""),
        ("--enforce-eager=true", "its presence is its value", ""),
        ("--enforce-eager true", "--enforce-eager takes no value", ""),
        ("--seed '\"8192\"'", "not a whole number", "--seed 8192"),
        ("--seed==8192", "not a whole number", "--seed 8192"),
        ("--seed 32,768", "not a whole number", "--seed 32768"),
        ("--seed 8192,", "not a whole number", "--seed 8192"),
        ("--gpu-memory-utilization 90%", "not a number", "--gpu-memory-utilization 0.9"),
        ("--gpu-memory-utilization 0,9", "not a number", "--gpu-memory-utilization 0.9"),
        ("--gpu-memory-utilization==0.9", "not a number", "--gpu-memory-utilization 0.9"),
        ("--gpu-memory-utilization .9.", "not a number", ""),
        ("--seed.x 1", "--seed is not a JSON object", "--seed INTEGER"),
        ("--kv-cache-dtype nvpf4", "not among its choices", "--kv-cache-dtype nvfp4"),
        ("--max-lora-rank 3", "not among its choices", "--max-lora-rank 8"),
        ("--max-lora-rank 48", "48 is not among its choices", "--max-lora-rank 64"),
        ("--max-lora-rank 513", "not among its choices", ""),
        ("--tensor-parallel-size 0", "0 is out of range", ""),
        ("--gpu-memory-utilization 80", "80 is out of range", "--gpu-memory-utilization 0.8"),
        ("--gpu-memory-utilization 101", "101 is out of range", ""),
        ("--max-num-seqs -1", "-1 is out of range", ""),
        (
            "--speculative-config.method mpt --speculative-config.num_speculative_tokens 2",
            '"mpt" is not among its choices, for "method"',
            '\'{"method":"mtp","num_speculative_tokens":2}\'',
        ),
        ("--speculative-config.num_speculative_tokens 0", 'out of range, for "num_speculative_tokens"', ""),
        ("--structured-outputs-config.backend xgramar", "not among its choices", '{"backend":"xgrammar"}'),
        ("-O5", "not among its choices", ""),
        ("a b", "no option goes with it", "quotes"),
        ("-- -x", "no option goes with it", ""),
        ("–max-model-len 8", "typographic dash", "--max-model-len"),
        ("−−max-model-len 8", "typographic dash", "--max-model-len"),
        ("--max‑model–len 8", "a dash in it is a typographic one", "--max-model-len"),
        ("a --seed 1 max_model_len=8", "no option goes with it", "--max-model-len=8"),
        ("a VLLM_USE_V1=1", "no option goes with it", "VLLM_USE_V1=… among the variables"),
        ("a --seed 1 && sleep", "cannot use 2 arguments", ""),
        ("a --seed 1 $EXTRA", "no option goes with it", "no shell reads this"),
        ("max_model_len: 8", "it is a key of YAML", "--max-model-len=8"),
        ("a max-num-seqs: 8", "it is a key of YAML", "--max-num-seqs=8"),
        ("enforce_eager: true", "it is a key of YAML", "--enforce-eager"),
        ("a enforce-eager: false", "it is a key of YAML", "--no-enforce-eager"),
        ("limit_mm_per_prompt: {image: 4}", "it is a key of YAML", "'--limit-mm-per-prompt={image: 4}'"),
        (
            'a \'{"max_model_len": 8, "enforce_eager": true, "dtype": "auto"}\'',
            "no option goes with it",
            "--max-model-len=8 --enforce-eager --dtype=auto",
        ),
        ("--max-model-len = 8", '"=" is not a whole number', "without blanks around the ="),
        ("'--max-model-len=8;--seed' 1", "not a whole number", "with a blank before --seed"),
        ("--max-model-len 8--seed", "not a whole number", "--max-model-len 8 --seed"),
        ("--seed 8,--enforce-eager", "not a whole number", "--seed 8 --enforce-eager"),
        ("a '|'", "no option goes with it", "no shell reads this"),
        ("a enforce_eager", "no option goes with it", "--enforce-eager"),
        ("--shm-size 16g", "an option of docker run", "before the image's name"),
        ("-it", "an option of docker run", "before the image's name"),
        ("--speculative-config mtp", "not JSON", ""),
        ("--limit-mm-per-prompt image=4", "not JSON", "--limit-mm-per-prompt '{\"image\":4}'"),
        ("--limit-mm-per-prompt image=4,video=2", "not JSON", '\'{"image":4,"video":2}\''),
        ("--limit-mm-per-prompt image=4 video=2", "not JSON", '\'{"image":4,"video":2}\''),
        ("--limit-mm-per-prompt=image=4", "not JSON", "--limit-mm-per-prompt '{\"image\":4}'"),
        ("--override-generation-config temperature=0.5", "not JSON", "'{\"temperature\":0.5}'"),
        ("--mm-processor-kwargs num_crops=4", "not JSON", "'{\"num_crops\":4}'"),
        ("--rope-scaling dynamic", "no longer has it (last seen in 0.11.0)", "--hf-overrides"),
        ("--speculative-config '[1]'", "[1] is not a JSON object", ""),
        ("--allowed-origins '{}'", "{} is not a JSON array", ""),
        ('--speculative-config \'{"method": "a", "method": "b"}\'', "written twice", ""),
        ("--speculative-config {methdo:mtp}", 'no key "methdo"', ""),
        ("--compilation-config '{\"cuda-graph\": 1}'", 'no key "cuda-graph"', ""),
        ("--lora-modules x", "neither name=path nor a JSON object", "NAME=PATH"),
        ('--lora-modules \'{"name": "a"}\'', "needs a name and a path", "path"),
        ("--hf-overrides '{\"a\": 1'", "not JSON", "--hf-overrides '{\"a\":1}'"),
        (
            "--speculative-config method:mtp num_speculative_tokens:2",
            "not JSON",
            '--speculative-config \'{"method":"mtp","num_speculative_tokens":2}\'',
        ),
        (
            "--default-chat-template-kwargs \"{'thinking': True}\"",
            "not JSON",
            "--default-chat-template-kwargs '{\"thinking\":true}'",
        ),
    ],
)
def test_refusals_say_what_to_write(table: OptionTable, line: str, message: str, hint: str) -> None:
    error = refusal(table, line)
    assert message in error.message
    assert error.message.startswith("cannot ")
    assert PLACE in error.message
    assert hint in (error.hint or "")
    assert "planted" not in str(error)


def test_an_option_and_its_value_in_one_argument_are_separated(table: OptionTable) -> None:
    with pytest.raises(SettingsError) as error:
        parse_arguments(["--api-key planted-secret"], table, place=PLACE)
    assert "one argument with a blank in it" in error.value.message
    assert "planted" not in str(error.value)
    with pytest.raises(SettingsError) as error:
        parse_arguments(["--max-model-len 8192"], table, place=PLACE)
    assert error.value.hint == '"--max-model-len", "8192" as two arguments'


def test_a_wrong_choice_names_all(table: OptionTable) -> None:
    assert refusal(table, "--dtype fp9").allowed == (
        "auto",
        "bfloat16",
        "float",
        "float16",
        "float32",
        "half",
    )


def test_the_corrected_form_can_be_pasted(table: OptionTable) -> None:
    hint = refusal(table, "--speculative-config {model:mtp n,num_speculative_tokens:2}").hint
    expected = {"model": "mtp n", "num_speculative_tokens": 2}
    assert parse(table, hint or "").values == {"speculative_config": expected}


def test_secrets_in_json_are_masked_in_the_corrected_form(table: OptionTable) -> None:
    error = refusal(table, '--default-chat-template-kwargs \'{"password": "planted", "a": b c}\'')
    assert "planted" not in str(error)
    assert '"a":"b c"' in (error.hint or "")


def test_all_errors_are_reported_at_once(table: OptionTable) -> None:
    error = refusal(table, "--max-modle-len 1 --seed x --port 8000")
    assert error.message.startswith("cannot use 3 arguments from NIM_PASSTHROUGH_ARGS:")
    for part in ("--max-model-len", '"x" is not a whole number', "NIM_SERVER_PORT"):
        assert part in str(error)


@pytest.mark.parametrize("name", sorted(OWNED))
def test_what_the_launcher_owns_is_refused_with_what_to_use(table: OptionTable, name: str) -> None:
    option = table.options[name]
    line = option.flag if option.count == "none" else f"{option.flag} 1"
    assert refusal(table, line).hint == OWNED[name]
    lenient = parse(table, f"{line} --seed 1", strict=False)
    assert lenient.values == {"seed": 1}
    assert lenient.rest == ()
    assert OWNED[name] in lenient.warnings[0]


def test_a_lenient_check_warns_and_passes_on(table: OptionTable) -> None:
    line = (
        "--new-flag 1 2 --seed 3 --max-model 5 --seed x --compilation-config.nothing 1 --task=generate "
        "--enforce-eager=true --speculative-config {a:b c} --max-num-seqs"
    )
    parsed = parse(table, line, strict=False)
    assert parsed.values == {"seed": 3}
    rest = "--new-flag 1 2 --max-model 5 --seed x --task=generate --enforce-eager=true --speculative-config"
    assert parsed.rest == (*rest.split(), "{a:b", "c}", "--max-num-seqs", "--compilation-config.nothing", "1")
    assert len(parsed.warnings) == 8
    assert all("passed on as it is" in warning for warning in parsed.warnings)


FLAGS = list(load_options().spellings)
anything = st.one_of(
    texts,
    st.sampled_from([*FLAGS, *AWKWARD, "--", "-O", "-O3", "{a:", "[", "{", "}", "9" * 5000, "9" * 400 + "k"]),
    st.builds("{}={}".format, st.sampled_from(FLAGS), texts),
    st.builds("{}.{}".format, st.sampled_from(FLAGS), texts),
)


@unhurried
@given(st.lists(anything, max_size=6))
def test_any_tokens_are_read_or_refused(table: OptionTable, tokens: list[str]) -> None:
    lenient = parse_arguments(tokens, table, place=PLACE, strict=False)
    assert set(lenient.rest) <= set(tokens)
    try:
        strict = parse_arguments(tokens, table, place=PLACE)
    except SettingsError:
        assert lenient.warnings
    else:
        assert strict == lenient
        assert strict.rest == ()


def test_values_of_a_file_are_checked_alike(table: OptionTable) -> None:
    values = {"max-model-len": "8k", "enable_lora": True, "speculative_config": {"method": "mtp"}}
    parsed = check_values(values, table, place="runtime_config.json")
    assert parsed.values == {
        "max_model_len": 8000,
        "enable_lora": True,
        "speculative_config": {"method": "mtp"},
    }


def test_a_file_is_warned_about_like_a_line(table: OptionTable) -> None:
    values = {"log_config_file": "x", "mamba_backend": "tritn", "speculative_config": "{method:mtp}"}
    parsed = check_values(values, table, place="runtime_config.json")
    assert parsed.values["speculative_config"] == {"method": "mtp"}
    assert len(parsed.warnings) == 3
    assert all("runtime_config.json" in warning for warning in parsed.warnings)


def test_what_yaml_knows_and_json_does_not_is_refused(table: OptionTable) -> None:
    values = {"seed": date(2026, 1, 1), "override_generation_config": {"a": date(2026, 1, 1)}}
    with pytest.raises(SettingsError, match="cannot use 2 arguments"):
        check_values(values, table, place="a profile")
    assert check_values({"hf_overrides": {1: 2}}, table, place="a profile").values == {
        "hf_overrides": {"1": 2}
    }


def test_a_file_is_refused_as_a_whole(table: OptionTable) -> None:
    values = {"max_modle_len": 1, "task": "x", "port": 1, "dtype": "fp9", "seed": None}
    with pytest.raises(SettingsError) as error:
        check_values(values, table, place="runtime_config.json")
    assert "cannot use 4 arguments from runtime_config.json" in error.value.message
    lenient = check_values(values, table, place="runtime_config.json", strict=False)
    assert lenient.values == {"seed": None}
    assert len(lenient.warnings) == 4
